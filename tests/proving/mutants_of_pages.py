"""The core with one rule of wide instruments broken at a time: what mutants.py does for the rest."""

from __future__ import annotations

from tests.proving.mutants import CHANGE, CORE, ENTRY, EXPIRY, TRIGGER, mutant

PAGES = "pages.c"

MUTANTS_OF_PAGES = [
    mutant("a new price needs a page", ENTRY, ("s->is_wide && !new_has_room(core, s, c, *price)", "0")),
    mutant(
        "a waiting stop needs a page",
        ENTRY,
        ("        return stop_is_due_now(s, side, c->order_id) ||\n", "        return 1 ||\n"),
    ),
    mutant("a moved order needs a page", CHANGE, ("s->is_wide && !change_has_room(core, s, order, &change)", "0")),
    mutant("a moved order leaves its page", CHANGE, (" || pages_is_alone(core, s, ladder, from);", ";")),
    mutant("what is alone in its page", PAGES, ("(word & (word - 1)) == 0 && level->head == level->tail;", "1;")),
    mutant("what is left of a stop needs a page", TRIGGER, ("else if (order_has_room(core, s, slot))", "else if (1)")),
    mutant(
        "the dormant need pages",
        EXPIRY,
        ("if (!ladder_has_room(core, s, side, ladder_key(s, side, orders[slot].price))) {", "if (0) {"),
    ),
    mutant(
        "an empty page is given back",
        PAGES,
        ("    if (*word == 0)\n        give_back(core, s, ladder, place);\n", ""),
    ),
    mutant("a page is used by its whole range", PAGES, ("return place < s->page_count[ladder] &&", "return 0 &&")),
    mutant(
        "the next page is the next range",
        PAGES,
        ("        if (++place == s->page_count[ladder])\n            return LEVEL_NONE;", "        return LEVEL_NONE;"),
    ),
    mutant(
        "pages are a matter of one ladder",
        PAGES,
        ("s->page_count[ladder] <= core->page_mask ||", "s->page_count[0] <= core->page_mask ||"),
    ),
    mutant(
        "so many pages as levels are for",
        CORE,
        ("core->page_mask = config->levels / PAGE_LEVELS - 1;", "core->page_mask = 0;"),
    ),
]
