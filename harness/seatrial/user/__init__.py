"""LeanUser, the base class of locustfiles' users: lean HTTP client, flows, arrivals, gate."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, NoReturn

from gevent import Greenlet
from gevent.pool import Group
from locust import User
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from locust.user.task import LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from seatrial.errors import SeatrialError, UsageError
from seatrial.http.client import Client
from seatrial.http.messages import ClientOptions, Timeouts, outcome_of_exception, split_url
from seatrial.http.network import Sockets
from seatrial.user.flows import Flow, Parallel, current_flow, side_by_side
from seatrial.user.options import offer
from seatrial.user.pacing import Pacing
from seatrial.user.session import Session, refuse_options
from seatrial.user.standalone import without_secrets

_HOSTS = "http://HOST[:PORT], https://HOST[:PORT] or http+unix://%2FPATH"
_GIVE_HOST = "give --host, or set `host` on the user class"
_LOCUST_CONTROL = (StopUser, StopTest, InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately)


def product() -> str:
    """Return `seatrial/<version>`, for a User-Agent."""
    try:
        return f"seatrial/{version('seatrial')}"
    except PackageNotFoundError:  # run from a source folder that is not installed
        return "seatrial/0"


class LeanUser(User):
    """A Locust user with `client`, `flow`, `parallel` and a random stream of its own.

    Only the client needs a `host`: a user whose flows make no request does without.

    Class attributes: `endpoints` is the closed list of labels under which requests are recorded; with `keep_alive`
    False each request opens a connection; `verify_tls` and `ca_file` choose the certificates that https trusts;
    `source_address` is an address of this machine to connect from; `receive_buffer_bytes` is the size of its
    receive buffers (SO_RCVBUF): with small ones a server notices a slow reader early. `prepare` may give it and
    `user_agent` to one user only.
    """

    abstract = True

    endpoints: ClassVar[tuple[str, ...]] = ()
    keep_alive: ClassVar[bool] = True
    timeouts: ClassVar[Timeouts] = Timeouts()
    verify_tls: ClassVar[bool] = True
    ca_file: ClassVar[str | None] = None
    source_address: ClassVar[str | None] = None
    receive_buffer_bytes: int | None = None
    user_agent: str = product()

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401  (whatever a subclass's bases take)
        super().__init_subclass__(**kwargs)
        offer()

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        try:
            self.session = Session.of(environment)
            self.number = self.session.user_number()
            self.random = random.Random(f"{self.session.seed}/{self.number}")  # noqa: S311  (a choice of load)
            self._accounting = self.session.reporter.accounting(self, self.number)
            open_model = self.session.open_model
            open_model.admit(type(self))
            self._pacing: Pacing | None = None
            if open_model.steered or open_model.arrivals.on:  # a harness may shut the gate again
                self._pacing = Pacing(self, self._accounting, open_model.arrivals, self.session.gate)
            host = self.host or ""
            try:
                if host:  # without one the client, when it is first used, ends the test
                    split_url(host)
            except ValueError as error:
                seen = repr(without_secrets(host))
                raise UsageError(
                    "the host to load is not a URL", seen=seen, expected=_HOSTS, hint=_GIVE_HOST
                ) from error
            self.prepare()
        except SeatrialError as error:
            if getattr(environment.parsed_options, "headless", False):  # the web UI goes on to the next test
                environment.process_exit_code = error.exit_code
                refuse_options(environment, error)
            raise StopTest(str(error)) from None

    @cached_property
    def client(self) -> Client:
        """The HTTP client, made when it is first used; without a host UsageError, and the end of the test."""
        if not self.host:
            error = UsageError(
                "the user makes a request, and there is no host to load",
                where=type(self).__name__,
                expected=_HOSTS,
                hint=_GIVE_HOST,
            )
            headless = getattr(self.environment.parsed_options, "headless", False)
            if headless and self.environment.process_exit_code is None:  # the web UI goes on to the next test
                self.session.refuse(error)
            raise error
        client_options = ClientOptions(self.user_agent, keep_alive=self.keep_alive, timeouts=self.timeouts)
        sockets = Sockets(source=self.source_address, receive_buffer_bytes=self.receive_buffer_bytes)
        network = self.session.network(verify=self.verify_tls, ca_file=self.ca_file, sockets=sockets)
        return Client(self.host, self.endpoints, client_options, network, self._accounting)

    def prepare(self) -> None:
        """Override to read options; `refuse` those that make no sense."""

    def refuse(
        self, what: str, *, where: str = "", seen: str = "", expected: str = "", hint: str = ""
    ) -> NoReturn:
        """End the test before it starts, from within `prepare`: exit code 2, and an error of these five parts."""
        raise UsageError(what, where=where, seen=seen, expected=expected, hint=hint)

    @contextmanager
    def flow(self, name: str, profile: str = "", *, since_ns: int | None = None) -> Iterator[Flow]:
        """Record the block as one flow; its requests carry its id.

        `since_ns` dates its start back, to the request that made it necessary. In an open model the first flow of
        a task takes the due time of the arrival. While the gate is shut no flow begins, and once the run ends none
        at all: the user ends instead. An exception, except those by which Locust steers users, is an error of the
        user model: the flow becomes `aborted`, and the exception is raised again.
        """
        outer = current_flow.get()
        if outer is None and not self.session.gate.wide_open:
            self.session.gate.enter()
        start_ns = time.monotonic_ns() if since_ns is None else since_ns
        flow = Flow(self.session.flow_id(), name, profile, start_ns, user=self.number, outer=outer)
        if outer is None and self._pacing is not None:
            flow.t_intended_ns = self._pacing.take_due_ns()
        token = current_flow.set(flow)
        try:
            yield flow
        except _LOCUST_CONTROL:
            raise
        except BaseException as error:
            flow.fail(outcome_of_exception(error))
            raise
        finally:
            current_flow.reset(token)
            flow.pass_failure_on()
            self.session.flow_ended(flow)

    def parallel(self, limit: int) -> AbstractContextManager[Parallel]:
        """Run work side by side, at most `limit` at once: `with self.parallel(3) as group: group.spawn(work, it)`.

        The block's end waits for all. The first exception, in one of them or in the block, ends the others: their
        requests in flight are recorded as `aborted`. A user that is ended in the block ends them too, as `cut`.
        """
        return side_by_side(limit)

    def start(self, group: Group) -> Greenlet[..., object]:
        """Start as Locust does, but behind the gate, and close the connections at the end."""
        self._group = group
        self._greenlet = group.spawn(_live, self)
        return self._greenlet

    def stop(self, force: bool = False) -> bool:  # noqa: FBT001, FBT002  (Locust's signature)
        """Stop as Locust does; a user that wakes before the kill reaches it begins nothing, and ends."""
        if force or self._state != LOCUST_STATE_WAITING or self._greenlet is None:
            return bool(super().stop(force))
        self._state = LOCUST_STATE_STOPPING
        self._group.killone(self._greenlet)
        return True


def _live(user: LeanUser) -> None:
    """Run one user; Locust finds the user as this greenlet's first argument."""
    try:
        user.session.gate.enter()
    except StopUser:
        return
    try:
        user.run()  # type: ignore[no-untyped-call]
    finally:
        if "client" in vars(user):
            user.client.close()
        if user._pacing is not None:  # noqa: SLF001  (this function is the user's own greenlet)
            user._pacing.end()  # noqa: SLF001
