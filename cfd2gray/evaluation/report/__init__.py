"""Pages and tables of finished evaluations: sections, charts, galleries, comparisons, the terminal.

Enter with `report.page.write_report` and `report.tables.print_result`. Reads result JSON and clips; never runs a network."""
