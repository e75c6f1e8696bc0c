"""Rows and sections: which records may stand in one table, and which of them count."""
