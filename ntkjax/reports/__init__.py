"""Result records to tables, plots and one HTML page."""
