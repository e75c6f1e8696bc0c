"""Tables before they are rendered: one file a table or a kin of tables, with its caption."""
