"""Contracts between the engine and its components; no logic.

Dimension letters, used in every docstring of the package: `N` data points, `I` inputs,
`O` outputs, `B` points of a minibatch, `T` steps of a training, `P` pixels. One function here
is about ONE network; only the engine adds a batch dimension.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

Array = Any  # a JAX array or tracer
Tree = Any  # a pytree of arrays
Key = Any  # a JAX random key
Stream = Callable[[Any], Key]  # the i-th key of a random stream


class Data(NamedTuple):
    """Points to fit. `y` may be a tree of what targets are made of; its last leaf is `[N, O]`."""

    x: Array  # [N, I]
    y: Tree  # [N, O]
    test: Tree = ()  # Data that no gradient sees; () where there are none
    valid: Tree = ()  # Data that decide when training stops; () where there are none


class Model(NamedTuple):
    """A network as pure functions; a Flax module stands behind them.

    The draw is apart from `init` so that all pixels share one draw, made once in double
    precision, while offsets and scales are traced. The top level of `params` is one entry a
    layer, named `layer_000`, `layer_001`, ...: sorted names are the order of the layers.
    """

    draw: Callable[[Key, Array, int], Tree]  # (key, x, O) -> standard normals, like params
    init: Callable[[Tree], Tree]  # (draw) -> params
    apply: Callable[[Tree, Array], Array]  # (params, x) -> [N, O]
    linear: bool = False  # whether `apply` is linear in x: a product of the layers' kernels
    noisy: Callable[[Tree, Array, Key], Array] | None = None
    # (params, x, key) -> [N, O], as gradients see it: with dropout; None: as `apply`
    layers: Callable[[Tree, Array], dict[str, Array]] | None = None
    # (params, x) -> what each layer of weights makes, [H, N] by its name, before any activation
    masks: Callable[[Tree], Tree] | None = None
    # (draw) -> like params, bool: which weights exist; the others are exactly zero. None: all
    units: Callable[[Tree, Array], tuple[tuple[Array, ...], tuple[Array, ...]]] | None = None
    # (params, x) -> every hidden layer's units before and after activation, [H, N] each
    shallow: "Shallow | None" = None  # what else says the same of a network of one hidden layer
    updates: str | None = None
    # `proportional` to the gradients, or the `same` for larger ones: only with an optimiser of that
    # kind the best rate does not move with the width. None: any
    published: "Callable[[int], Callable[[Tree, Array], Array] | None] | None" = None
    # (N) -> `apply` to N points in the paper's order of sums; None: `apply` has that order. None
    # for all N: the paper's notebook has no such network


class Shallow(NamedTuple):
    """A network `out * (act(in * (x W0)) W1)` without biases, for a kernel that is not JAX."""

    hidden: int  # units
    activation: str  # by its name
    scales: Callable[[int], tuple[float, float]]  # (I) -> (in, out)


class Problem(NamedTuple):
    """What is learned. `source` holds what comes from disk, and is an argument of the program."""

    source: Callable[[], Tree]  # () -> arrays on the host; () where all is drawn
    load: Callable[[Key, Tree, Callable[[int, int], int]], Data]  # (key, source, count(I, O))
    loss: Callable[[Array, Tree], Array]  # (outputs [N, O], targets as in Data.y) -> scalar
    batch: Callable[[Stream, Array, Data], Data] | None = None  # (stream, t, data); None: full
    residuals: Callable[[Array, Tree], Array] | None = None
    # (outputs, targets as in Data.y) -> [N, O] whose mean square the loss is; None: another loss
    fresh: bool = False  # whether every batch is drawn anew; then no training set is fixed
    moments: Callable[[Data], Data] | None = None
    # (data) -> I points on which a linear model has the same loss: the second moments of the data
    resized: Callable[[int], "Problem"] | None = None  # the same with another size of its batches
    remainder: Callable[[int], int] | None = None
    # (N) -> how many points of the last batch of an epoch, the first of them, count; None: all
    epoch: Callable[[int], int] | None = None  # (N) -> steps of an epoch; None: one, all points
    scores: Mapping[str, Callable[[Array, Tree], Array]] = MappingProxyType({})
    # name -> (outputs, targets) -> mean over the points of what else tells how good a network is
    scaling: Callable[[], tuple[float, float]] | None = None
    # () -> (offset, scale): x is (raw - offset) / scale of what was read
    reads: Callable[[], Mapping[str, str | tuple[str, ...]]] | None = None
    # () -> argument (or another name) -> the path, or several, of what `source` reads; None: those
    # that text arguments name


class Optimizer(Protocol):
    """An optax transform whose learning rates, one a group of layers, are inside it."""

    @property
    def init(self) -> Callable[[Tree], Tree]: ...  # (params) -> state
    @property
    def update(self) -> Callable[[Tree, Tree, Tree], tuple[Tree, Tree]]: ...

    # (grads, state, params) -> (updates, state)


Schedule = Callable[[Array, int], Array] | None  # (t, T) -> factor on every learning rate; None: 1


class Rule(NamedTuple):
    """A change of the network itself: before the first step, then after every update."""

    init: Callable[[Tree], tuple[Tree, Tree]]  # (params) -> (params, state)
    update: Callable[[Tree, Tree, Tree, Tree, Array], tuple[Tree, Tree, Tree]]
    # (params, opt, grads, state, t) -> (params, opt, state)


class Anatomy(NamedTuple):
    """Which weights of a network exist, since when and as what. A unit exists where its bias does.

    `U` counts all units in the order of the layers: inputs, hidden, outputs.
    """

    masks: Tree  # like params, bool
    born: Tree  # like params, int32: steps done when the weight came to be
    kind: Tree  # like params, int8: index into KINDS
    events: Array  # how often the network has grown
    touched: Array  # [3, layers] int32: events in the layer, in one beside it, elsewhere
    ledger: Array  # [R, F], a row an event: LEDGER, then the notes of every growth


KINDS = ("scaffold", "patch", "neck", "new", "clone", "highway")
LEDGER = (
    "step", "edges_before", "edges_after", "units_before", "units_after", "layers_before",
    "layers_after", "high", "low",
)  # fmt: skip


class Network(NamedTuple):
    """What grows: weights, the state of their optimiser, and which of them exist."""

    params: Tree
    opt: Tree
    anatomy: Tree  # Anatomy, or () where all weights exist


class Sites(NamedTuple):
    """Where a network might grow."""

    high: Array  # [U] bool: saturated units
    low: Array  # [U] bool: dead ones
    level: Array  # [U] the statistic by which they are that


class Moment(NamedTuple):
    """What growth may look at: training data alone."""

    t: Array  # steps that are done
    epoch: Array  # epochs that are done
    epochs: int  # of the whole training
    key: Key  # of this moment and network
    data: Data  # training points, at most some thousands
    model: Model
    loss: Callable[[Tree], Array]  # (params) -> on those points
    accuracy: Callable[[Tree], Array]  # (params) -> the same, a share; NaN where there is none
    grads: Callable[[Tree], Tree]  # (params) -> of the loss, of weights that do not exist too
    practise: Callable[[Network, int], Network]  # (network, steps) -> after some steps
    each: Callable[[Callable, Tree], Tree]  # (function, tree): over the leading axis, side by side


class When(NamedTuple):
    """When a network grows; asked after every so many epochs."""

    init: Callable[[Array], Tree]  # (a zero of the dtype) -> carry
    observe: Callable[[Tree, Array, Array], Tree]  # (carry, gradient norm, loss), every step
    due: Callable[[Array, int], Array]  # (epoch, E) -> whether to ask; one answer for all networks
    ask: Callable[[Tree, Network, Moment], tuple[Tree, Array]]  # -> (carry, whether to grow)
    most: int  # events at most
    reading: Callable[[Tree], dict[str, Array]] = lambda carry: {}


Where = Callable[[Network, Moment], Sites]


class Growth(NamedTuple):
    """What happens to a network that grows."""

    act: Callable[[Network, Sites, Moment], tuple[Network, tuple[Array, ...]]]
    # -> (network, one number a note)
    notes: tuple[str, ...] = ()  # names of what the ledger keeps of it
    placed: bool = True  # whether it reads the sites


class Clock(NamedTuple):
    """How far a training is, in whole epochs."""

    t: Array  # steps that are done
    length: int  # steps of an epoch
    epochs: int


Rates = Callable[[Network, Clock], Tree]  # -> like params: factor on the rate of every weight


class Stopping(NamedTuple):
    """When a training ends before its last step, judged by the loss on the validation data.

    The weights of the best look are kept. A loss that is not finite is never the best.
    """

    due: Callable[[Array, int], Array]  # (epoch, E) -> whether to look after this one, 1 to E
    init: Callable[[Array], Tree]  # (a zero of the dtype) -> carry
    update: Callable[[Tree, Array], tuple[Tree, Array]]  # (carry, loss) -> (carry, is the best)
    spent: Callable[[Tree], Array]  # (carry) -> whether no later look can count


class Snapshot(NamedTuple):
    """One step as a Fold sees it, before the update; handed in, never carried."""

    t: Array  # the step, 0 to T - 1
    left: Array  # T - t: steps that remain, this one among them
    loss: Array  # on the full data
    grads: Tree
    params: Tree
    apply: Callable[[Tree, Array], Array]


class Fold(NamedTuple):
    """What is measured while a network trains, in O(1) memory.

    `settled` is true once no later step can change the reading beyond a closed form that
    `final` applies; from then on the engine lets the carry stand still.
    """

    init: Callable[[Tree, int], Tree]  # (params, T) -> carry
    update: Callable[[Tree, Snapshot], Tree]  # (carry, snapshot) -> carry
    settled: Callable[[Tree], Array]  # (carry) -> bool
    final: Callable[[Tree, int], dict[str, Array]]  # (carry, T) -> named readings


class Evaluation(NamedTuple):
    """A network as a Metric sees it, before the update of its step.

    What nobody reads costs nothing. `train` and `test` are samples, not moments.
    """

    params: Tree
    train: Tree  # Data, or () where every batch is drawn anew
    test: Tree  # Data, or () where the problem has none
    train_loss: Array
    test_loss: Array
    apply: Callable[[Tree, Array], Array]  # (params, x) -> [N, O]
    linear: bool  # as Model.linear
    residuals: Callable[[Tree, Data], Array] | None
    # (params, data) -> outputs minus targets [N, O], whose mean square the loss is; None: another
    loss: Callable[[Tree, Data], Array]  # (params, data) -> scalar, mean over the points
    grad: Callable[[Tree, Data], Tree]  # (params, data) -> gradient of `loss`
    hvp: Callable[[Tree, Data, Tree], Tree]  # (params, data, v) -> Hessian of `loss` times v
    each: Callable[[Callable, Tree], Tree]  # (function, tree): over the leading axis, side by side
    loop: Callable[[Callable, Tree], Tree]  # the same one after the other: less memory
    repeat: Callable[[Callable, Tree, int], Tree]  # (step, carry, count), step(i, carry) -> carry
    layers: Callable[[Tree, Array], dict[str, Array]] | None = None  # as Model.layers


Metric = Callable[[Evaluation], dict[str, Array]]  # named readings, each of any fixed shape
Comparison = Callable[[Evaluation, Evaluation], dict[str, Array]]  # of a pair in lockstep


class Callback(NamedTuple):
    """What changes while a network trains, from the step of its name on, before the update.

    `batches` are static, as the size of a batch is a shape; `factor` may hold traced values.
    """

    batches: tuple[tuple[int, int], ...] = ()  # (step, batch size; 0: full batch)
    factor: Callable[[Array], Array] | None = None  # (t) -> factor on every learning rate


class State(NamedTuple):
    """Everything a training carries from step to step: arrays only."""

    params: Tree
    opt: Tree
    rule: Tree
    fold: Tree
    metric: Tree = ()  # name -> [K, ...], NaN until it is evaluated
    watch: Tree = ()  # of early stopping
    anatomy: Tree = ()  # Anatomy, where the model has masks
    when: Tree = ()  # carry of what decides when to grow
    rates: Tree = ()  # factor on the rate of every weight, as of the last epoch
