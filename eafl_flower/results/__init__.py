"""What a run leaves behind: events, summary, tables, figures, reports."""
