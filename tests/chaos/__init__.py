"""Everything goes wrong at once, and at the end every accepted job is accounted for."""
