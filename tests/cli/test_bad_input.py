"""F22 and F8: wrong input gets one clear line and exit code 2, before any work."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

CommandLine = Callable[..., CompletedProcess[str]]
RUN = ["--methods", "ce", "--protocol", "digits-lt"]


def error_of(done: CompletedProcess[str]) -> str:
    """The one line that says what is wrong; click may put its usage above it."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("Usage:", "Try '"))]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]


def check_refused(done: CompletedProcess[str], expected: str, results: Path) -> None:
    assert re.search(expected, error_of(done)), error_of(done)
    assert not [path for path in results.rglob("*") if path.is_file()]


FROZEN = ["--protocol", "digits-features"]
ON_FEATURES = [
    (["--methods", "ce+tent", *FROZEN], r"ce\+tent: adapts BatchNorm; frozen features have none"),
    (["--methods", "ce+bn-adapt", *FROZEN], r"bn-adapt: adapts BatchNorm; frozen features have"),
    (["--methods", "cmo", *FROZEN], r"method 'cmo' works on pixels; frozen features have none"),
    (["--methods", "ce", *FROZEN, "--set", "data.image_size=8"], r"image_size is of images"),
    (["--methods", "ce", *FROZEN, "--set", "recipe.flip=true"], r"flip: features come with stored"),
    (
        ["--methods", "zero-shot", *FROZEN],
        r"features of the class names, and .* heads\.safetensors",
    ),
    (
        ["--methods", "zero-shot", "--protocol", "digits-lt"],
        r"names, which source 'digits' has not",
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), ON_FEATURES)
def test_what_features_cannot_do_is_refused(
    ltbench_here: CommandLine, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    results = tmp_path / "results"
    check_refused(ltbench_here("run", *arguments, "--results", results), expected, results)


WRONG_METHODS = {
    "nosuch": r"unknown method 'nosuch' \(known: .*\bce\b",
    "sad": r"unknown method 'sad' .*did you mean 'sade'\?",
    "sade+stabilty": r"unknown strategy 'stabilty' .*did you mean 'stability'\?",
    "SADE": r"unknown method 'SADE'",
    "../ce": r"unknown method '\.\./ce'",
    "sade[tua=1]": r"sade has no 'tua' .*did you mean 'tau'\?",
    "sade[tau=x]": r"sade\.tau = 'x' must be a number",
    "sade[tau=-1]": r"sade: tau = -1.* must be at least 0",
    "sade[tau=nan]": r"tau = nan must be finite",
    "sade[tau=1,tau=2]": r"'tau' is given twice",
    "sade[tau]": r"must look like param=value",
    "sade[tau=]": r"must look like param=value",
    "sade+stability[epochs=0]": r"stability: epochs = 0 must be at least 1",
    "logit-adjustment[where=nowhere]": r"where = 'nowhere' must be one of: post-hoc, loss",
    "": r"the list is empty",
    ",": r"the list is empty or has an empty place",
    "ce,,sade": r"the list is empty or has an empty place",
    "ce,ce": r"'ce' is named twice",
    "sade[tau=1],sade[tau=1]": r"'sade\[tau=1\]' is named twice",
    "sade[tau=1": r"brackets do not match",
    "sade]tau=1[": r"brackets do not match",
    "sade[tau=[1]]": r"must look like name\[param=value",
    "[tau=1]": r"has no name",
    "ce+none+oracle": r"must look like method or method\+strategy",
    "ce+": r"must look like method or method\+strategy",
    "+none": r"must look like method or method\+strategy",
    "ce+stability": r"ce\+stability: strategy 'stability' needs at least 2 experts, ce has 1",
}


@pytest.mark.parametrize("methods", WRONG_METHODS)
def test_wrong_methods(methods: str, ltbench_here: CommandLine, tmp_path: Path) -> None:
    results = tmp_path / "results"
    done = ltbench_here("run", "--methods", methods, *RUN[2:], "--results", results)
    check_refused(done, WRONG_METHODS[methods], results)


WRONG_OPTIONS = {
    "--imbalance 0": r"imbalance = 0.* must be at least 1",
    "--imbalance -1": r"imbalance = -1.* must be at least 1",
    "--imbalance abc": r"imbalance = 'abc' must be a number",
    "--imbalance nan": r"imbalance = nan must be finite",
    "--imbalance inf": r"imbalance = inf must be finite",
    "--imbalance 1e9": r"imbalance|no image",
    "--test-ratios 0": r"ratios = 0.* must be greater than 1",
    "--test-ratios -2": r"ratios = -2.* must be greater than 1",
    "--test-ratios 2,abc": r"ratios\[1\] = 'abc' must be a number",
    "--test-ratios 2,2": r"ratios = .* must differ from one another",
    "--test-ratios 2,,5": r"ratios\[1\] = '' must be a number",
    "--test-ratios 1000": r"test ratio 1000: the smallest class would have no image",
    "--set recipe.epochs=0": r"epochs = 0 must be at least 1",
    "--set recipe.epochs=-3": r"epochs = -3 must be at least 1",
    "--set recipe.epochs=1.5": r"recipe\.epochs = '1\.5' must be a whole number",
    "--set recipe.epochs=": r"recipe\.epochs = '' must be a whole number",
    "--set recipe.lr=0": r"lr = 0.* must be greater than 0",
    "--set recipe.batch_size=0": r"batch_size = 0 must be at least 1",
    "--set recipe.augment=autoaugmnt": r"augment = 'autoaugmnt' must be one of: '' \(none\), autoaugment, ",
    "--set recipe.augment=cutout+autoaugment": r"must be one of: .*autoaugment\+cutout",
    "--set recipe.epoch=3": r"recipe has no 'epoch' .*did you mean 'epochs'\?",
    "--set recipes.epochs=3": r"has no 'recipes' .*did you mean 'recipe'\?",
    "--set recipe=3": r"'recipe' is a table",
    "--set recipe.epochs.x=3": r"'epochs' is a value, not a table",
    "--set nonsense": r"--set 'nonsense' must look like recipe\.epochs=40",
    "--set model.backbone=resnet9": r"model: unknown backbone 'resnet9' \(known: frozen, resnet10",
    "--set model.shared=2": r"shared = 2 is not known for backbone 'resnet8'",
    "--set model.pretrained.file=x.pth": r"backbone 'resnet8' takes no pretrained weights",
    "--set model.backbone=resnet10 --set model.shared=4": r"model: shared = 4 must be one of: 1, 2, 3",
    "--set model.backbone=resnet10 --set model.pretrained.file=not.pth": r"not\.pth cannot be read: No",
    "--set model.code=abc": r"model has no 'code'",
    "--set backbone_code=abc": r"has no 'backbone_code'",
    "--set data.source=digit": r"unknown data source 'digit' .*did you mean 'digits'\?",
    "--set data.source=torchvision:SVNH": r"did you mean 'torchvision:SVHN'\?; `ltbench new source NAME`",
    "--set data.fit=pad": r'fit = "pad" is for images of any size, .*those of digits have their size',
    "--set data.fit=stretch": r"fit = 'stretch' must be one of: crop, pad, squash",
    "--set data.classes=12": r"has 10 classes, the protocol says 12",
    "--set train.max_count=100000": r"100000|max_count",
    "--set test.draws=0": r"draws = 0 must be at least 1",
    "--set test.max_count=100": r"lower test\.max_count",
    "--set test.published=forward.txt": r"published = .forward\.txt. must hold \{name\}",
    "--set test.published=a_{name}.txt": r"have no file names by which a list could be met",
    "--set test.published=a_{name}.txt --set test.max_count=5": r"published and max_count do not go",
    "--set methods.sade.recipe.epochz=3": r"has no 'epochz'; did you mean 'epochs'\?",
    "--set seeds=0,0": r"seeds",
    "--set views.blur_sigma=1": r"blur_sigma",
    "--seeds 0": r"seeds '0': the count must be at least 1",
    "--seeds -1": r"seeds '-1': the count must be at least 1",
    "--seeds 0,0": r"seeds '0,0' must differ from one another",
    "--seeds 0,-1": r"seeds '0,-1' must be whole numbers of at least 0",
    "--seeds a": r"seeds 'a' must be a count",
    "--seeds 1,": r"seeds '1,' must be a count",
    "--seeds 9999999999999999999": r"the count must be at most 10,000",
    "--seeds 1e9": r"seeds '1e9' must be a count",
    "--seeds 0,9999999999999999999": r"a seed must be below 2\^63",
    "--seeds 2 --set seeds=3": r"seeds are given twice",
    "--seeds 2 --seeds 3": r"--seeds is given twice; it takes one value",
    "--imbalance 2 --imbalance=3": r"--imbalance is given twice",
    "--engine slrum": r"unknown engine 'slrum' \(known: local, ray, slurm\); did you mean 'slurm'\?",
    "--engine local --engine slurm": r"--engine is given twice",
    "--engine-set partition=gpu": r"engine local has no 'partition' \(it has: none\)",
    "--engine local=here": r"engine local has no 'address' \(it has: none\)",
    "--engine ray=": r"engine 'ray=' lacks its address after the '='",
    "--track tensorbord": r"unknown tracker 'tensorbord' \(known: mlflow, tensorboard, wandb\); did you",
    "--engine-set nonsense": r"--engine-set 'nonsense' must look like partition=gpu",
    "--engine-set a=1 --engine-set a=2": r"--engine-set gives a twice",
    "--detach": r"trials on the engine 'local' end with this process: --detach does not go there",
    "--methods sade": r"--methods is given twice",
    "--protocol cifar10-lt": r"--protocol is given twice",
    "--imbalance 2 --set train.imbalance=3": r"--imbalance and --set train\.imbalance=3 say the same",
    "--test-ratios 2 --set test.ratios=3": r"--test-ratios and --set test\.ratios=3 say the same",
    "--set test.draws=2 --set test.draws=3": r"--set gives test\.draws twice, '2' and '3'",
    "--set test.max_count=1e2": r"test\.max_count = '1e2' must be a whole number",
    "--set test.max_count=1_000": r"test\.max_count = '1_000' must be a whole number",
    "--set train.split_seed=4294967296": r"split_seed = 4294967296 must be at most",
    "--set train.counts=5,4": r"train\.counts lists 2 classes, there are 10",
    "--set train.counts=500,9,9,9,9,9,9,9,9,9": r"the profile asks for 500; lower train\.counts",
    "--set data.subset=one,tow": r"no class is called 'tow'; did you mean",
    "--set data.subset=one,3": r"no class is called '3' beside names",
    "--set data.subset=1,10": r"class 10 is none of 0 to 9",
    "--set data.subset=1,01": r"must differ from one another",
    "--jobs 0": r"jobs = 0 must be a whole number of at least 1",
    "--jobs x": r"'--jobs'",
    "--precision x": r"'--precision'.*'float32', 'tf32', 'bf16'",
    "--mode x": r"'--mode'.*'clean', 'augmented'",
    "--device tpu": r"device 'tpu' must be one of auto, cpu, cuda, mps",
    "--device cpu:x": r"device 'cpu:x'",
    "--data-dir /": r"the digits are embedded and read no folder",
    "--plugin nowhere.py": r"--plugin .*nowhere\.py: no such file",
    "--plugin nowhere.toml": r"--plugin .*nowhere\.toml: no such file",
    "--plugin /": r"--plugin /: no such file",
    "--sets a=b": r"[Nn]o such option",
    "extra": r"unexpected extra argument",
}


@pytest.mark.parametrize("options", WRONG_OPTIONS)
def test_wrong_options(options: str, ltbench_here: CommandLine, tmp_path: Path) -> None:
    results = tmp_path / "results"
    done = ltbench_here("run", *RUN, *options.split(" "), "--results", results)
    check_refused(done, WRONG_OPTIONS[options], results)


def test_a_device_that_is_absent(ltbench_here: CommandLine, tmp_path: Path) -> None:
    absent = "mps" if torch.cuda.is_available() else "cuda"
    done = ltbench_here("run", *RUN, "--device", absent, "--results", tmp_path / "results")
    check_refused(done, rf"device '{absent}' is not available here", tmp_path / "results")


@pytest.mark.parametrize("verb", ["run --dry-run", "evaluate"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--imbalance 0", r"imbalance = 0.* must be at least 1"),
        ("--set recipe.epoch=3", r"did you mean 'epochs'\?"),
        ("--seeds 0,0", r"must differ from one another"),
    ],
)
def test_dry_run_and_evaluate_refuse_the_same(
    verb: str, options: str, expected: str, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    done = ltbench_here(*verb.split(), *RUN, *options.split(), "--results", results)
    check_refused(done, expected, results)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("runn", r"no command 'runn' \(there are: run, evaluate.*\); did you mean 'run'\?"),
        ("xyzzy", r"no command 'xyzzy' \(there are: run, evaluate"),
        ("run", r"[Mm]issing option '--methods'"),
        ("run --methods ce", r"[Mm]issing option '--protocol'"),
        ("run --methods ce --protocol digit-lt", r"did you mean 'digits-lt'\?"),
        ("run --methods ce --protocol imported", r"'ce' is no ensemble: rows of the protocol"),
        ("run --methods 2*x --protocol imported", r"its member 'x' is not imported under"),
        ("run --methods ce --protocol nosuch.toml", r"protocol file nosuch\.toml does not exist"),
        ("list nonsense", r"'nonsense' is not one of 'methods', 'strategies', 'protocols'"),
        ("list methods --plugin nowhere.py", r"no such file"),
        (
            "show nonsense",
            r"no method, strategy, protocol, source, backbone or encoder is called 'nonsense'",
        ),
        (
            "run --methods ce --protocol digits-lt --set data.source=digit --set data.image_size=8",
            r"unknown data source 'digit' \(known: cifar10, .*\); did you mean 'digits'\?",
        ),
        (
            "run --methods ce --protocol digits-lt --set data.options.seed=1",
            r"digits-lt\.data\.options has no 'seed' \(it has: none\)",
        ),
        ("check digit", r"encoder or file is called 'digit'; did you mean 'digits(-lt)?'\?"),
        ("new source digits", r"a source is called 'digits' already"),
        ("new source folder", r"a source is called 'folder' already"),
        ("show sad", r"did you mean 'sade'\?"),
        ("show sade --protocol digit-lt", r"did you mean 'digits-lt'\?"),
        ("show sade[tua=1]", r"did you mean 'tau'\?"),
        ("show digits-lt --set recipe.epoch=3", r"did you mean 'epochs'\?"),
        ("show nosuch.toml", r"protocol file nosuch\.toml does not exist"),
        ("report --results nowhere", r"results folder nowhere does not exist"),
        ("report --results .", r"no readable evaluation under \."),
        ("data nonsense digits-lt", r"[Nn]o such command 'nonsense'"),
        ("data check nonsense", r"unknown protocol 'nonsense'"),
        ("data check cifar100-lt --data-dir nowhere", r"data folder nowhere does not exist"),
        ("data prepare cifar100-lt --data-dir nowhere", r"data folder nowhere does not exist"),
        ("data prepare cifar100-lt --data-dir .", r"data folder \. is empty; expected cifar-100"),
    ],
)
def test_wrong_words(words: str, expected: str, ltbench_here: CommandLine, tmp_path: Path) -> None:
    done = ltbench_here(*words.split())
    check_refused(done, expected, tmp_path / "cwd")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--methods", "sad", "--protocol", "digits-lt"],
        ["run", *RUN, "--imbalance", "0"],
        ["runn"],
        ["show", "sad"],
    ],
)
def test_as_a_process(arguments: list[str], ltbench: CommandLine, tmp_path: Path) -> None:
    done = ltbench(*arguments, cwd=tmp_path)
    assert error_of(done)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_checkpoint_seconds_that_are_no_number(
    ltbench_here: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LTBENCH_CHECKPOINT_SECONDS", "often")
    done = ltbench_here("run", *RUN, "--results", tmp_path / "results")
    check_refused(done, "LTBENCH_CHECKPOINT_SECONDS = 'often' must be", tmp_path / "results")


def test_a_wrong_number_of_loaders(
    ltbench_here: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LTBENCH_LOADERS", "many")
    done = ltbench_here("run", *RUN, "--results", tmp_path / "results")
    check_refused(done, "LTBENCH_LOADERS = 'many' must be a whole number", tmp_path / "results")
    done = ltbench_here("run", *RUN, "--loaders", "999", "--results", tmp_path / "results")
    check_refused(done, "loaders = 999 must be a whole number from 0 to 256", tmp_path / "results")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("recipe.jitter=0.4,0.4,0.4,0", 'jitter and crop_scale need crop = "resized"'),
        ("recipe.crop=resized", "needs images that are opened one by one"),
        ("recipe.schedule=cos", "must be one of: steps, cosine"),
        ("views.crop=resized", 'crop_padding = 1 goes with crop = "padded"'),
        ("views.crop_scale=0.5,1", 'crop_scale needs crop = "resized"'),
        ("data.resize=9", 'resize needs source = "lists"'),
    ],
)
def test_recipes_and_images_that_do_not_fit(
    change: str, message: str, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    done = ltbench_here("run", *RUN, "--set", change, "--results", tmp_path / "results")
    check_refused(done, message, tmp_path / "results")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("report --results a --results b", "--results"),
        ("status --results a --results b", "--results"),
        ("data check digits-lt --data-dir a --data-dir b", "--data-dir"),
        ("data export digits-lt --output a --output b", "--output"),
        ("show digits-lt --protocol a --protocol b", "--protocol"),
    ],
)
def test_an_option_twice(
    words: str, option: str, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    done = ltbench_here(*words.split())
    check_refused(done, f"{option} is given twice; it takes one value", tmp_path / "cwd")


def test_flags_and_options_for_many_values_may_be_repeated(ltbench_here: CommandLine) -> None:
    sets = ["--set", "test.draws=2", "--set", "recipe.epochs=40"]
    assert ltbench_here("run", *RUN, *sets, "--dry-run", "--dry-run").returncode == 0


# -- protocol files and plugins -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = ", r"protocol file .*mine\.toml is not readable TOML"),
        ("\xff\xfe", r"unknown|not readable TOML"),
        ("", r"mine\.toml lacks 'name'"),
        ("extends = 'mine.toml'", r"'extends' goes round in a circle"),
        ("extends = 'digit-lt'", r"did you mean 'digits-lt'\?"),
        ("extends = 'digits-lt'\nepochs = 3", r"has no 'epochs'"),
        ("extends = 'digits-lt'\n[recipe]\nepochs = 'many'", r"recipe\.epochs = 'many' must be"),
        ("extends = 'digits-lt'\nrecipe = 3", r"recipe must be a table, not 3"),
        ("extends = 'digits-lt'\nmethods = 3", r"methods must be a table, not 3"),
        ("extends = 'digits-lt'\n[methods]\nsade = 3", r"methods\.sade must be a table, not 3"),
        ("extends = 'digits-lt'\nname = 'mine'\n[methods.sade]\ntua = 3", r"did you mean 'tau'\?"),
        ("extends = 'digits-lt'\nname = '../x'", r"'\.\./x' is not usable"),
        ("extends = 'digits-lt'\nseeds = [0, 0]", r"seeds = \[0, 0\] must differ"),
        ("extends = 'digits-lt'\nseeds = []", r"seeds"),
        ("extends = 'digits-lt'\n[test.subsets]\nodd = [1, 11]", r"classes go from 0 to 9"),
        ("extends = 'digits-lt'\n[test.subsets]\nuniform = [1]", r"name is taken"),
        (
            "extends = 'digits-lt'\nname = 'mine'\n[test.mixes]\nx = {zeroo = 1}",
            r"mixes\.x: no .*mean 'zero'\?",
        ),
        ("extends = 'digits-lt'\n[test.mixes]\nx = {zero = -1}", r"mixes\.x: class 'zero' has -1"),
        ("extends = 'digits-lt'\n[test.mixes]\nx = 'no.csv'", r"no\.csv cannot be read: No such"),
        (
            "extends = 'digits-lt'\nname = 'mine'\n[test.subsets]\nx = ['zeroo']",
            r"subsets\.x: no .*mean 'zero'",
        ),
        ("extends = 'digits-lt'\n[data]\nmean = [0.5]", r"mean must have three values"),
        ("extends = 'digits-lt'\n[groups]\nmany_above = 5", r"few_below = 10 must not exceed"),
    ],
)
def test_wrong_protocol_files(
    text: str, expected: str, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(text.encode("latin-1"))
    results = tmp_path / "results"
    done = ltbench_here("run", "--methods", "sade", "--protocol", file, "--results", results)
    check_refused(done, expected, results)


METHOD = """
from ltbench import Method
class Mine(Method):
    name, title, reference = {name!r}, "mine", None
    def loss(self, logits, targets, *, progress, rng=None):
        return logits.sum()
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def broken(:\n", r"cannot be imported: SyntaxError: invalid syntax"),
        ("import nosuchmodule\n", r"cannot be imported: ModuleNotFoundError: .*'nosuchmodule'"),
        ("raise SystemExit(0)\n", r"cannot be imported: SystemExit"),
        ("x = 1\n", r"defines no Method, no Strategy, no DataSource, no Backbone and no Encoder"),
        (METHOD.replace("def loss", "def los").format(name="mine"), r"Mine does not define loss"),
        (METHOD.format(name="ce"), r"two methods are called 'ce': .*cross_entropy and .*mine\.py"),
        (METHOD.format(name="../x"), r"'\.\./x' is not usable"),
        (METHOD.format(name="a/b"), r"'a/b' is not usable"),
        (METHOD.format(name="con"), r"'con' is not usable"),
        (METHOD.format(name="CON"), r"'CON' is not usable"),
        (METHOD.format(name="x" * 300), r"x{20}.*\.\.\.' is not usable"),
        (METHOD.format(name="größe"), r"is not usable"),
        (METHOD.format(name="a b"), r"'a b' is not usable"),
        (METHOD.format(name="a+b"), r"'a\+b' is not usable"),
        (METHOD.format(name=""), r"'' is not usable"),
        (METHOD.format(name=None), r"None is not usable"),
    ],
)
def test_plugin_files_that_cannot_be_used(
    text: str, expected: str, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(text, encoding="utf-8")
    results = tmp_path / "results"
    done = ltbench_here("run", *RUN, "--plugin", plugin, "--results", results)
    check_refused(done, expected, results)
    done = ltbench_here("list", "methods", "--plugin", plugin)
    assert re.search(expected, error_of(done))


# -- folders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/ltbench-results"])
def test_results_that_cannot_be_written(
    place: str, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    """F8: as root no permission is refused, so a file stands in the way; /proc refuses everyone."""
    (tmp_path / "file").write_text("mine")
    if place.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    done = ltbench_here("run", *RUN, "--results", tmp_path / place)
    assert re.search(r"results|'--results'", error_of(done))
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.name != "cwd"] == ["file"]


CIFAR = ["run", "--methods", "ce", "--protocol", "cifar100-lt"]


def test_a_data_folder_that_is_missing_or_empty(ltbench_here: CommandLine, tmp_path: Path) -> None:
    results, folder = tmp_path / "results", tmp_path / "images"
    arguments = [*CIFAR, "--data-dir", folder, "--results", results]
    check_refused(ltbench_here(*arguments), r"data folder .*images does not exist", results)
    folder.mkdir()
    done = ltbench_here(*arguments)
    check_refused(done, r"data folder .*images is empty; expected cifar-100-python", results)
    assert list(folder.iterdir()) == []  # never downloaded into
    done = ltbench_here(*arguments, "--dry-run")
    check_refused(done, r"data folder .*images is empty", results)


@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
def test_a_damaged_parquet_shard(damage: str, ltbench_here: CommandLine, tmp_path: Path) -> None:
    folder, results = tmp_path / "images", tmp_path / "results"
    folder.mkdir()
    whole = parquet_bytes(tmp_path)
    content = {"empty": b"", "text": b"<html>not found</html>", "cut": whole[: len(whole) // 2]}
    (folder / "train-00000-of-00001.parquet").write_bytes(content[damage])
    (folder / "test-00000-of-00001.parquet").write_bytes(whole)
    done = ltbench_here(*CIFAR, "--data-dir", folder, "--results", results)
    check_refused(done, r"train-00000-of-00001\.parquet", results)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]


def parquet_bytes(folder: Path) -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "PNG")
    images = [{"bytes": buffer.getvalue(), "path": None}] * 100
    pq.write_table(pa.table({"img": images, "fine_label": list(range(100))}), folder / "whole")
    content = (folder / "whole").read_bytes()
    (folder / "whole").unlink()
    return content


@pytest.mark.parametrize(
    ("seconds", "words"),
    [("soon", ["run", *RUN]), ("0", ["status"]), ("nan", ["status"]), ("1e9", ["status"])],
)
def test_claim_seconds_that_cannot_be(
    seconds: str, words: list[str], ltbench: CommandLine, tmp_path: Path
) -> None:
    """A process each: they are read when the module is imported."""
    results = tmp_path / "results"
    results.mkdir()
    done = ltbench(*words, "--results", results, env={"LTBENCH_CLAIM_SECONDS": seconds})
    expected = f"LTBENCH_CLAIM_SECONDS = {seconds!r} must be a number from 1 to 86400"
    assert expected in error_of(done)
    assert not list(results.iterdir())


def test_a_wrong_key_in_the_users_settings(
    ltbench_here: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[engine.local]\npartition = 'gpu'\n")
    monkeypatch.setenv("LTBENCH_CONFIG", str(config))
    done = ltbench_here("run", *RUN, "--results", tmp_path / "results")
    check_refused(done, "config.toml: engine.local has no 'partition'", tmp_path / "results")
