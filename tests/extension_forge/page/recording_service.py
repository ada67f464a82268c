"""A Service that only writes down what it is given, in place of mobilesd_forge/service.py."""

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Submitted:
    accepted: bool
    text: str


class Service:
    page_token = "a-page-token"

    def __init__(self, data_folder, read_settings):
        self.read_settings = read_settings
        self.seen = set()

    def start(self):
        pass

    def stop(self):
        pass

    def server_choices(self):
        return ["attic"]

    def refresh_servers(self, wait=0.0):
        pass

    def install_routes(self, app):
        @app.get("/mobilesd/page/ping")
        def ping():
            settings = self.read_settings()
            return {"url": settings.url, "target": settings.target}

    def submit(self, params, *, click_id, count=1, seed_variation="incremental"):
        if click_id in self.seen:
            return Submitted(True, "Queued already.")
        self.seen.add(click_id)
        line = {"params": params, "click_id": click_id, "count": count, "seeds": seed_variation}
        with Path(os.environ["STAND_IN_SUBMITTED"]).open("a", encoding="utf-8") as record:
            record.write(json.dumps(line, allow_nan=False) + "\n")
        return Submitted(True, f"Queued: {count}.")
