"""VAEs and text encoders are sent in the server's spelling; infotexts omit the extension."""

from dispatch.inventory import ServerInventory

LISTED = ServerInventory(modules=("ae.safetensors", "ae.v2.pt", "T5.gguf"))


def test_modules_are_spelled_as_the_server_lists_them(forge):
    request = forge.prepare(
        inventory=LISTED,
        vae="ae",
        additional_modules=["t5", "sub/ae.v2", "ae.v2.pt", "unknown", 5],
        enable_hr=True,
        hr_additional_modules=["Use same choices", "T5"],
    )
    modules = request.body["override_settings"]["forge_additional_modules"]
    assert modules == ["ae.safetensors", "T5.gguf", "ae.v2.pt", "ae.v2.pt", "unknown", 5]
    assert request.body["hr_additional_modules"] == ["Use same choices", "T5.gguf"]
    assert request.warnings == [
        "The server does not have the VAE or text encoder unknown: it is left out."
    ]


def test_modules_stay_as_they_are_for_a_server_that_listed_nothing(forge):
    request = forge.prepare(inventory=None, vae="ae", additional_modules=["t5"])
    assert request.body["override_settings"]["forge_additional_modules"] == ["ae", "t5"]


def test_what_an_infotext_said_besides_stays_here(forge):
    request = forge.prepare(inventory=None, infotext_fields={"ENSD": "31337"})
    assert "infotext_fields" not in request.body
