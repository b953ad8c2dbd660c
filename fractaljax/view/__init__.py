"""Pictures of a saved Field: colour tables, stretches, PNG files and labelled figures.

Nothing here trains anything: this room reads arrays and never imports the engine, so that a
field is coloured again at no cost, on a machine without an accelerator. A reading becomes a
picture in two independent steps: a *stretch* (`stretch`) turns values into levels, and a
*colour map* (`colours`) turns levels into colours.
"""
