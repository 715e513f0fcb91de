"""All pages, in the order of the navigation."""

from steelyard.console.page import Page
from steelyard.console.pages import configuration, job, jobs, nodes, overview, policies, replicas, requests

PAGES: dict[str, Page] = {
    module.PAGE.name: module.PAGE
    for module in (overview, replicas, requests, jobs, job, nodes, policies, configuration)
}
