"""What Generate did, a line of JSON each, for the test that pressed it."""

import json
import os
from pathlib import Path

from modules import processing
from modules.scripts import Script


def generated(tab, p, args):
    """Run a job of the page; return what Generate's four outputs show."""
    digest, effective = processing.process_images(p)
    titles = [
        script.title() for script in p.scripts.alwayson_scripts if script.args_to > script.args_from
    ]
    hooks = ("setup", "process", "run", "effect")
    hooked = [
        script.title()
        for script in p.scripts.scripts
        if any(getattr(type(script), hook) is not getattr(Script, hook) for hook in hooks)
    ]
    line = {
        "with hooks": hooked,
        "tab": tab,
        "args": len(args),
        "with inputs": titles,
        "digest": digest,
        "effective": effective,
    }
    with Path(os.environ["STAND_IN_RECORD"]).open("a", encoding="utf-8") as record:
        record.write(json.dumps(line, default=str) + "\n")
    return [], "{}", f"<p>{digest}</p>", ""
