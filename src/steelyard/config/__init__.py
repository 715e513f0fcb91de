"""The configuration: its schema, its loading with every mistake named, its defaults."""
