"""What a request can get wrong beyond its values, with the status of the answer."""

from fractaljax.errors import FractaljaxError


class Refused(FractaljaxError):
    """A request that is not met, with its HTTP status (400 for any other FractaljaxError)."""

    status = 400

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status or self.status


class Unknown(Refused):
    """There is no such thing."""

    status = 404


class TooDeep(Refused):
    """Beyond the precision floor."""

    status = 410


class Busy(Refused):
    """Too much is waiting; worth another try a little later."""

    status = 429
