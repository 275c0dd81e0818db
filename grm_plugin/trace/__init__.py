"""Traces: judged groups, kept in an SQLite store, and a page to read them.

    Judgement -> recorder (a queue and a thread) -> store_writer -> the store's file
    the store's file -> store_reader -> page_routes (HTML) | export (JSON lines, Parquet) | `grm-plugin traces`

`stored_trace` and `store_file` are the store's format. `filters` says which groups a reader wants to see, and
`filter_query` puts that into the address of a page. The page shows charts (`chart_data` -> `charts`), and each group
with its votes (`group_view`), as HTML (`page_rendering`) in which no text can do harm (`safe_text`).
"""
