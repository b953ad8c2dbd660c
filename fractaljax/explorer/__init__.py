"""The explorer: a map of the fractal in a web page, trained on demand.

geometry    where the samples of a map lie
maps        a map: settings, folder, what it trains; all maps that are open
settings    what the page may change, and how it is told
tiles       values of a tile: from disk, from coarser and finer tiles, or trained
queue       one thread that trains, the most urgent work first
points      a click: one network and its training curve
renders     a box at full resolution, in the background
server      routes, and what a request may ask
guard       who may call them, and from where
refusals    what a request can get wrong, with the status of the answer
page/       what the browser loads
"""
