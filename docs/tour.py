"""A tour of ltbench from Python, cell by cell: runs top to bottom in under a minute on a CPU.

Results go to the folder of the first argument, or to a temporary one. Two epochs teach little; the
numbers only show what comes out where.
"""

# %% What there is
import sys
import tempfile

import torch

import ltbench

results = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()
short = {"recipe": {"epochs": 2}, "test": {"ratios": [5], "draws": 2, "partial": False}}
print("methods:", ", ".join(ltbench.list_methods()))
print("strategies:", ", ".join(ltbench.list_strategies()))

# %% The images of a protocol, and its test sets as indices into them
train = ltbench.load_images("digits-lt", "train")
test = ltbench.load_images("digits-lt", "test")
print("training images per class:", train.counts.tolist(), train.images.shape, train.images.dtype)
test_sets = ltbench.draw_test_sets("digits-lt", **short)
for name, drawn in test_sets.items():
    print(f"{name}: {len(drawn.draws)} draws of {drawn.counts.sum()} images")

# %% A method and its bias: softmax(z_e + b_e) is the posterior under the training prior
sade = ltbench.get_method("sade", train.counts, tau=1)
print("bias of each expert, head and tail class:", sade.bias()[:, [0, -1]].tolist())

# %% Plan, train, evaluate; the same call again finds everything finished
print(
    ltbench.plan_trials("ce,sade", "digits-lt", seeds=2, results=results, **short)[
        ["training", "seed", "state"]
    ]
)
outcome = ltbench.run("ce,sade", "digits-lt", seeds=2, results=results, arrival="batch:64", **short)
print("finished:", len(outcome.finished), "failed:", len(outcome.failures))

# %% More rows on the finished trials, without training
ltbench.evaluate_trials("ce+em", "digits-lt", seeds=2, results=results, **short)
frame = ltbench.load_results(results)
print(frame.pivot_table(index="label", columns="distribution", values="top1").round(1))

# %% Recall of each class, and accuracy over the course of a stream
recalls = ltbench.load_recalls(results)
own = recalls[recalls.expert.isna()]
print(own.pivot_table(index="label", columns="group", values="recall").round(1))
streams = ltbench.load_streams(results, windows=4)
drifting = streams[(streams.order == "drifting") & (streams.distribution == "uniform")]
print(drifting.pivot_table(index="label", columns="window", values="top1").round(1))

# %% The stored logits of a trial: every number above follows from them
trials = ltbench.list_trials(results)
trial = trials[trials.training == "ce"].folder.iloc[0]
stored = ltbench.load_logits(trial)
hits = stored.logits.mean(dim=1).argmax(dim=1) == stored.labels
draw = torch.from_numpy(test_sets["forward5"].draws[0])
print(f"{trial}: {100 * hits[draw].double().mean():.2f} % on draw 0 of forward5")

# %% Its network, on any images
model = ltbench.load_model(trial)
print("predicted:", model.predict(test.images[:5]).tolist(), "true:", test.labels[:5].tolist())

# %% A model of one's own joins the table by its outputs
mine = ltbench.import_outputs(
    stored.logits[:, 0].numpy(), test.labels, name="mine", bias=[0.0] * 10,
    protocol="digits-lt", strategies="none,oracle", results=results, **short,
)  # fmt: skip
print("imported:", {label: round(top1, 1) for label, top1 in mine.uniform.items()})

# %% Hyper-parameters, chosen on held-out training images
tuned = ltbench.tune_method(
    "logit-adjustment", "digits-lt", {"tau": [0.5, 1, 2]}, seeds=1, results=results, **short
)
print(tuned.table[["row", "score", "error", "chosen"]].round(1))
print(f"chosen: {tuned.chosen}, after {tuned.trials} training")

# %% Tables for a paper
report = ltbench.write_report(results, columns="F5,U,B5,Mean", figures=False)
print("tables:", len([file for file in report.files if file.suffix == ".tex"]), "in", report.output)
