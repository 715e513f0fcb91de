"""The documentation site: `python -m tools.docs_site` stages its pages, builds them and checks every link."""
