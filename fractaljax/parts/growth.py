"""What grows, where the sites are: patches, clones, highways, layers, necks. Edits of masks.

Numbers of units and of edges may be traced: who takes part is a matter of ranks, never of shapes.
"""

import math

import jax
import jax.numpy as jnp

from fractaljax.errors import FractaljaxError
from fractaljax.parts import anatomy as an
from fractaljax.registry import register
from fractaljax.slots import map_slots
from fractaljax.types import Array, Growth, Moment, Network, Sites, Tree


@register("growth", "embedded")
def embedded(dead: float = 0.2, saturated: float = 0.15, weight: float = 0.1) -> Growth:
    """Patched density: more edges into dead units and out of saturated ones, in the mask itself.

    Args:
        dead: share of the possible edges from the level before into a dead unit.
        saturated: share of those from a saturated unit into the level behind.
        weight: deviation of the new weights.
    """
    _shares(dead=dead, saturated=saturated)

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        lay, could = an.layout(net.params), an.possible(net.anatomy, skips=False)
        chance = an.uniform(moment.key, could)
        new = {}
        for j, name in enumerate(lay.names):
            low, high = sites.low[lay.node(j + 1)][None], sites.high[lay.seen(j)][:, None]
            wanted = (low & (chance[name] < dead)) | (high & (chance[name] < saturated))
            new[name] = could[name] & wanted
        return an.with_edges(net, new, an.weights(net, moment.key, weight), "patch", moment.t), ()

    return Growth(act)


@register("growth", "patches")
def patches(
    size: float = 8.0,
    most: float = 5.0,
    targets: float = 4.0,
    inputs: float = 20.0,
    weight: float = 0.3,
) -> Growth:
    """Small dense blocks of new units at extrema, in layers of the capacity that have none.

    A saturated unit feeds `size` new units in the layer behind it, and these `targets` units of the
    next level; a dead unit is fed by `size` new units in the layer before it, and these by `inputs`
    units of the level before. There must be room between two levels: an empty layer.

    Args:
        size: units of a patch.
        most: patches of either sort in a layer and event.
        targets, inputs: as above.
        weight: factor on the outgoing weights, which are otherwise N(0, 2 / fan in).
    """
    _positive(size=size)

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        lay, there = an.layout(net.params), an.alive(net.anatomy)
        level, nodes = an.levels(net.anatomy), an.node_of(lay)
        behind = an.follows(net.anatomy)
        draws, chance = (
            an.normal(moment.key, net.params),
            an.uniform(moment.key, an.edges(net.anatomy)),
        )
        for k in range(1, len(lay.sizes) - 1):  # a layer that may hold patches
            host = lay.names[k - 1]
            spare = ~there[lay.node(k)] & ~level[k]
            place = jnp.cumsum(spare) - 1  # among the spare units of the layer
            high = sites.high[lay.node(k - 1)] & level[k - 1]
            low = sites.low[lay.node(k + 1)] & level[k + 1] & (k + 2 < len(lay.sizes))
            room = jnp.floor(jnp.sum(spare) / size)
            taken = jnp.minimum(jnp.minimum(most, jnp.sum(high)), room)
            dead = jnp.minimum(jnp.minimum(most, jnp.sum(low)), room - taken)
            owner = jnp.floor(place / size)
            rank_high = an.order(high, sites.level[lay.node(k - 1)])
            rank_low = an.order(low, -sites.level[lay.node(k + 1)])
            of_high = spare & (owner < taken)
            of_low = spare & (owner >= taken) & (owner < taken + dead)
            net = an.with_units(net, host, of_high | of_low, "patch", moment.t)
            # edges into the patches
            into = jnp.zeros((lay.seen(k - 1).stop - lay.seen(k - 1).start, lay.sizes[k]), bool)
            rows = lay.rows(k - 1, k - 1)
            mine = high[:, None] & of_high[None] & (rank_high[:, None] == owner[None])
            into = into.at[rows].set(mine)
            source = (behind[nodes[lay.seen(k - 1)], k + 1] & there[lay.seen(k - 1)])[:, None]
            score = jnp.where(source & of_low[None], chance[host], 2.0)
            cut = jnp.argsort(jnp.argsort(score, axis=0), axis=0) < inputs
            into |= cut & source & of_low[None]
            fan = jnp.maximum(jnp.sum(into, axis=0), 1)
            scale = jnp.sqrt(2 / fan)[None].astype(draws[host].dtype)
            net = an.with_edges(net, {host: into}, {host: draws[host] * scale}, "patch", moment.t)
            # edges out of them
            for j in range(k, len(lay.names)):
                rows = lay.rows(j, k)
                if rows is None:
                    continue
                name, column = lay.names[j], jnp.arange(lay.sizes[j + 1])
                aim = (column < targets) & there[lay.node(j + 1)] & behind[k, j + 1]
                out = of_high[:, None] & aim[None]
                if j == k:
                    rank = rank_low + taken
                    out |= of_low[:, None] & low[None] & (owner[:, None] == rank[None])
                block = jnp.zeros(net.params[name]["kernel"].shape, bool).at[rows].set(out)
                values = draws[name] * jnp.asarray(weight * jnp.sqrt(2 / size), draws[name].dtype)
                net = an.with_edges(net, {name: block}, {name: values}, "patch", moment.t)
        return net, ()

    return Growth(act)


@register("growth", "clone")
def clone(most: float = 3.0, vertical: bool = True) -> Growth:
    """Copies of saturated units that share their outgoing weights: the function stays.

    A vertical clone is a unit of a later layer that passes its unit on unchanged (its bypass is 1)
    and takes over half of the weights into layers behind it; another one is a copy in the same
    layer, with the same incoming weights.

    Args:
        most: clones of a layer in an event.
        vertical: in the next layer, or else in the same one.
    """

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        lay = an.layout(net.params)
        for i in range(1, len(lay.sizes) - 1):
            host = i + 1 if vertical else i
            if host > len(lay.sizes) - 2:
                continue
            high = sites.high[lay.node(i)]
            pairs = _paired(net, lay, i, host, high, sites.level[lay.node(i)], most)
            net = _relayed(net, lay, i, host, pairs, moment.t, "clone", 0.5, copied=not vertical)
        return net, ()

    return Growth(act)


@register("growth", "highways")
def highways(most: float = 5.0, inputs: float = 20.0, weight: float = 0.1) -> Growth:
    """Dead units become highways: they pass the most active units before them to the outputs.

    All edges of the unit are removed; it then takes the `inputs` units of the level before whose
    activity varies most, passes them on without an activation (its bypass is 1), and has an edge to
    every output, over whatever lies between.

    Args:
        most: highways of a layer in an event.
        inputs: edges into each.
        weight: deviation of the outgoing weights; the incoming ones are N(0, 1 / inputs).
    """
    _positive(inputs=inputs)

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        lay, there = an.layout(net.params), an.alive(net.anatomy)
        assert moment.model.units is not None
        _, passed = moment.model.units(net.params, moment.data.x)
        spread = [jnp.var(moment.data.x, axis=0), *(jnp.var(v, axis=1) for v in passed)]
        spread = jnp.concatenate([*spread, jnp.zeros(lay.sizes[-1])])
        draws, behind, nodes = (
            an.normal(moment.key, net.params),
            an.follows(net.anatomy),
            an.node_of(lay),
        )
        last = lay.names[-1]
        for i in range(1, len(lay.sizes) - 1):
            name, out = lay.names[i - 1], lay.rows(len(lay.names) - 1, i)
            if out is None:
                continue
            low = sites.low[lay.node(i)]
            low &= an.order(low, -sites.level[lay.node(i)]) < most
            gone = {name: jnp.broadcast_to(low[None], net.params[name]["kernel"].shape)}
            for j in range(i, len(lay.names)):
                if (rows := lay.rows(j, i)) is not None:
                    blank = jnp.zeros(net.params[lay.names[j]]["kernel"].shape, bool)
                    gone[lay.names[j]] = blank.at[rows].set(low[:, None])
            net = an.without_edges(net, gone)
            seen = lay.seen(i - 1)
            source = there[seen] & behind[nodes[seen], i]
            source &= an.order(source, spread[seen]) < inputs
            scale = jnp.asarray(inputs, draws[name].dtype) ** -0.5
            net = an.with_edges(
                net,
                {name: source[:, None] & low[None]},
                {name: draws[name] * scale},
                "highway",
                moment.t,
            )
            net = _bypassed(net, name, low, moment.t)
            block = jnp.zeros(net.params[last]["kernel"].shape, bool)
            block = block.at[out].set(jnp.broadcast_to(low[:, None], block[out].shape))
            net = an.with_edges(
                net, {last: block}, {last: draws[last] * weight}, "highway", moment.t
            )
        return net, ()

    return Growth(act)


@register("growth", "insert_layer")
def insert_layer(threshold: float = 0.0, density: float = 0.02) -> Growth:
    """An empty layer of the capacity, behind the one with most extrema, passes its units on.

    Units of the new layer take over all outgoing weights of one unit each and pass it on unchanged
    (their bypass is 1, and trained from there), so that the function stays. More edges into the
    layer start at zero.

    Args:
        threshold: nothing happens unless the share of hidden units that are extreme is above it.
        density: of the edges that start at zero.
    """
    _shares(density=density)

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        lay = an.layout(net.params)
        extreme = jnp.logical_or(sites.high, sites.low)
        hidden = an.alive(net.anatomy)[_hidden(lay)]
        enough = jnp.sum(extreme) > threshold * jnp.sum(hidden)
        for i, here in _fullest(net, lay, extreme).items():
            units = an.alive(net.anatomy)[lay.node(i)]
            level = -jnp.arange(lay.sizes[i], dtype=jnp.float32)
            pairs = _paired(net, lay, i, i + 1, units & here & enough, level, math.inf)
            net = _relayed(net, lay, i, i + 1, pairs, moment.t, "new", 1.0, copied=False)
            name, rows = lay.names[i], lay.rows(i, i)
            could = an.possible(net.anatomy, skips=False)[name]
            extra = an.uniform(moment.key, {name: could})[name] < density
            only = jnp.zeros(could.shape, bool).at[rows].set(True) & jnp.any(pairs, axis=0)[None]
            zero = jnp.zeros_like(net.params[name]["kernel"])
            net = an.with_edges(net, {name: could & extra & only}, {name: zero}, "new", moment.t)
        return net, ()

    return Growth(act)


@register("growth", "widen")
def widen(units: float = 8.0, density: float = 0.05, weight: float = 0.1) -> Growth:
    """More units in the level with most extrema; what they pass on starts at zero.

    Args:
        units: how many, while there is room.
        density: of the edges of the new units.
        weight: factor on the incoming weights, which are otherwise N(0, 2 / fan in).
    """
    return _more_units(units, density, weight, "new", beside=True)


@register("growth", "neck")
def neck(width: float = 64.0, density: float = 0.05, weight: float = 1.0) -> Growth:
    """A neck: an empty layer behind the one with most extrema becomes a narrow way around.

    Its units take edges from the level before and pass on to the level behind, where their weights
    start at zero: the function stays.

    Args:
        width: units, while there is room.
        density: of the edges into and out of them.
        weight: factor on the incoming weights, which are otherwise N(0, 2 / fan in).
    """
    return _more_units(width, density, weight, "neck", beside=False)


@register("growth", "proportional")
def proportional(
    share: float = 0.05, skips: float = 0.5, prefer: float = 4.0, weight: float = 0.01
) -> Growth:
    """So many edges more, in proportion to those there are, with a preference for forward skips.

    Args:
        share: new edges as a share of those that exist.
        skips: odds of an edge over one level or more against `1 - skips` of one to the next.
        prefer: factor on the odds of an edge from a saturated unit, and of one into a dead one.
        weight: deviation of the new weights.
    """
    _shares(skips=skips)

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        lay = an.layout(net.params)
        could, near = an.possible(net.anatomy), an.possible(net.anatomy, skips=False)
        chance, scores, free = an.uniform(moment.key, could), {}, {}
        for j, name in enumerate(lay.names):
            odds = jnp.where(near[name], 1 - skips, skips)
            odds *= jnp.where(sites.high[lay.seen(j)], prefer, 1)[:, None]
            odds *= jnp.where(sites.low[lay.node(j + 1)], prefer, 1)[None]
            # the largest of u^(1/odds): drawing without replacement by odds (Efraimidis, Spirakis)
            scores[name] = jnp.log(chance[name] + 1e-12) / odds
            free[name] = could[name] & ~net.anatomy.masks[name]["kernel"] & (odds > 0)
        number = jnp.ceil(share * an.count(an.edges(net.anatomy)))
        new = an.best_blocks(scores, free, number)
        return an.with_edges(net, new, an.weights(net, moment.key, weight), "new", moment.t), ()

    return Growth(act)


@register("growth", "indefinite")
def indefinite(threshold: float = 0.5, most: float = 5.0) -> Growth:
    """A layer where many units are extreme, and patches at extrema always.

    Args:
        threshold: share of hidden units that are extreme above which a layer is inserted.
        most: patches of either sort in a layer and event.
    """
    layer, patch = insert_layer(threshold), patches(most=most)

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        net, _ = patch.act(net, sites, moment)
        return layer.act(net, sites, moment)

    return Growth(act)


@register("growth", "sort")
def sort() -> Growth:
    """Hidden units in the order of the norm of their incoming weights, the largest first.

    A permutation: the function stays, and all that belongs to a unit moves with it, what the
    optimiser remembers too.
    """

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        del sites, moment
        lay, places = an.layout(net.params), [jnp.arange(an.layout(net.params).sizes[0])]
        for name in lay.names[:-1]:
            norm = jnp.sqrt(jnp.sum(net.params[name]["kernel"] ** 2, axis=0))
            exists = net.anatomy.masks[name]["bias"]
            places.append(jnp.argsort(jnp.where(exists, -norm, jnp.inf), stable=True))
        places.append(jnp.arange(lay.sizes[-1]))

        def moved(leaf: Array, where: tuple[str, str]) -> Array:
            j = lay.names.index(where[0])
            leaf = leaf[..., places[j + 1]]
            if where[1] != "kernel":
                return leaf
            nodes = range(lay.first[j], j + 1)
            offset = lay.starts[lay.first[j]]
            rows = [places[n] + (lay.starts[n] - offset) for n in nodes]
            return leaf[jnp.concatenate(rows)]

        def tree(values: Tree) -> Tree:
            return {n: {k: moved(v, (n, k)) for k, v in own.items()} for n, own in values.items()}

        a = net.anatomy
        turned = a._replace(masks=tree(a.masks), born=tree(a.born), kind=tree(a.kind))
        return Network(tree(net.params), map_slots(moved, net.opt, net.params), turned), ()

    return Growth(act, placed=False)


@register("growth", "leak")
def leak() -> Growth:
    """The mask is dropped: all edges between neighbouring levels exist from now on, at zero.

    No growth at all, but an artefact: what was called sparse trains densely. For comparison.
    """

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        del sites
        could = an.possible(net.anatomy, skips=False)
        zeros = {name: jnp.zeros_like(own["kernel"]) for name, own in net.params.items()}
        return an.with_edges(net, could, zeros, "scaffold", moment.t), ()

    return Growth(act, placed=False)


def _more_units(units: float, density: float, weight: float, kind: str, beside: bool) -> Growth:
    """New units in the level with most extrema, or in an empty layer behind it."""
    _positive(units=units)
    _shares(density=density)

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        lay, extreme = an.layout(net.params), jnp.logical_or(sites.high, sites.low)
        draws = an.normal(moment.key, net.params)
        for i, here in _fullest(net, lay, extreme, beside).items():
            k = i if beside else i + 1
            name = lay.names[k - 1]
            spare = ~net.anatomy.masks[name]["bias"]
            new = spare & (jnp.cumsum(spare) <= units) & here
            net = an.with_units(net, name, new, kind, moment.t)
            could = an.possible(net.anatomy, skips=False)
            chance = an.uniform(jax.random.fold_in(moment.key, i), could)
            into = could[name] & new[None] & (chance[name] < density)
            fan = jnp.maximum(jnp.sum(into, axis=0), 1)
            values = draws[name] * (weight * jnp.sqrt(2 / fan)).astype(draws[name].dtype)[None]
            net = an.with_edges(net, {name: into}, {name: values}, kind, moment.t)
            for j in range(k, len(lay.names)):
                rows = lay.rows(j, k)
                if rows is None:
                    continue
                later = lay.names[j]
                mine = jnp.zeros(could[later].shape, bool).at[rows].set(new[:, None])
                out = could[later] & mine & (chance[later] < density)
                zero = jnp.zeros_like(net.params[later]["kernel"])
                net = an.with_edges(net, {later: out}, {later: zero}, kind, moment.t)
        return net, ()

    return Growth(act)


def _fullest(
    net: Network, lay: an.Layout, extreme: Array, beside: bool = False
) -> dict[int, Array]:
    """Hidden nodes -> whether this is the level with most extrema, among those with room."""
    level: Array = an.levels(net.anatomy)
    counts: dict[int, Array] = {}
    for i in range(1, len(lay.sizes) - (1 if beside else 2)):
        room = jnp.any(~net.anatomy.masks[lay.names[i - 1 if beside else i]]["bias"])
        empty = ~jnp.any(net.anatomy.masks[lay.names[i]]["bias"]) if not beside else True
        found = jnp.sum(extreme[lay.node(i)])
        counts[i] = jnp.where(room & empty & level[i] & (found > 0), found, -1)
    if not counts:
        return {}
    most = jnp.max(jnp.stack([*counts.values()]))
    first, seen = {}, jnp.zeros((), bool)
    for i, number in counts.items():
        first[i] = (number == most) & (most > 0) & ~seen
        seen |= first[i]
    return first


def _paired(
    net: Network, lay: an.Layout, i: int, host: int, marked: Array, level: Array, most: float
) -> Array:
    """Which unit of node `i` gets which spare unit of node `host`, `[n_i, n_host]`."""
    spare = ~net.anatomy.masks[lay.names[host - 1]]["bias"]
    rank, place = an.order(marked, level), jnp.cumsum(spare) - 1
    ok = marked & (rank < most)
    return ok[:, None] & spare[None] & (rank[:, None] == place[None])


def _relayed(
    net: Network,
    lay: an.Layout,
    i: int,
    host: int,
    pairs: Array,
    t: Array,
    kind: str,
    share: float,
    copied: bool,
) -> Network:
    """Units of node `host` take over a share of what units of node `i` pass to later layers.

    A relay has one edge of weight 1 from its unit and a bypass of 1; a copy has its incoming edges.
    """
    name, used, source = lay.names[host - 1], jnp.any(pairs, axis=0), jnp.argmax(pairs, axis=0)
    net = an.with_units(net, name, used, kind, t, bypass=0.0 if copied else 1.0)
    own = net.params[name]
    if copied:
        mask = net.anatomy.masks[name]["kernel"][:, source] & used[None]
        net = an.with_edges(net, {name: mask}, {name: own["kernel"][:, source]}, kind, t)
        net = an.changed(net, name, "bias", jnp.where(used, own["bias"][source], own["bias"]))
        passing = used & net.anatomy.masks[name]["bypass"][source]
        net = _bypassed(net, name, passing, t)
        bypass = net.params[name]["bypass"]
        net = an.changed(net, name, "bypass", jnp.where(passing, bypass[source], bypass))
    else:
        rows = lay.rows(host - 1, i)
        if rows is None:
            return net
        edge = jnp.zeros(own["kernel"].shape, bool).at[rows].set(pairs)
        net = an.with_edges(net, {name: edge}, {name: jnp.ones_like(own["kernel"])}, kind, t)
    moved = jnp.any(pairs, axis=1)
    for j in range(host, len(lay.names)):
        old, new = lay.rows(j, i), lay.rows(j, host)
        if old is None or new is None:
            continue
        later = lay.names[j]
        kernel, mask = net.params[later]["kernel"], net.anatomy.masks[later]["kernel"]
        edges = jnp.zeros(mask.shape, bool).at[new].set(mask[old][source] & used[:, None])
        values = jnp.zeros_like(kernel).at[new].set(share * kernel[old][source])
        # what is left first: a copy beside its unit lies in the same rows
        rest = jnp.where(moved[:, None], (1 - share) * kernel[old], kernel[old])
        net = an.changed(net, later, "kernel", kernel.at[old].set(rest))
        net = an.with_edges(net, {later: edges}, {later: values}, kind, t)
        if share == 1:
            gone = jnp.zeros(mask.shape, bool).at[old].set(mask[old] & moved[:, None])
            net = an.without_edges(net, {later: gone})
    return net


def _bypassed(net: Network, name: str, units: Array, t: Array) -> Network:
    """Units that pass their argument on, from now on."""
    a = net.anatomy

    def put(tree: Tree, value: Array) -> Tree:
        old = tree[name]["bypass"]
        new = jnp.where(units, jnp.asarray(value, old.dtype), old)
        return tree | {name: tree[name] | {"bypass": new}}

    one = jnp.ones((), bool)
    a = a._replace(masks=put(a.masks, one), born=put(a.born, t))
    return net._replace(params=put(net.params, jnp.ones(())), anatomy=a)


def _hidden(lay: an.Layout) -> slice:
    return slice(lay.starts[1], lay.starts[-2])


def _shares(**shares: float) -> None:
    for name, value in shares.items():
        if isinstance(value, float) and not 0 <= value <= 1:
            raise FractaljaxError(f"{name}={value}: allowed are 0 to 1")


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if isinstance(value, float) and not value >= 1:
            raise FractaljaxError(f"{name}={value}: at least 1")
