"""What to do about each note."""

from __future__ import annotations

from seatrial.model import NoteKind

MENDS = {
    NoteKind.TASK_EXCEPTION: "a bug in the locustfile or in Seatrial: the traceback is in logs/task-errors.jsonl",
    NoteKind.NO_REQUESTS: "look at logs/locust.log, and try the locustfile alone: locust -f FILE --host URL",
    NoteKind.SERVICE_RESTARTED: "look at the service's log under logs/, and at its memory limit",
    NoteKind.OOM_KILL: "raise the service's memory limit, or lower what it may hold",
    NoteKind.SAMPLES_MISSING: "leave the machine to the run (seatrial doctor shows other load), and run again",
    NoteKind.COARSE_SAMPLES: "run on the host of the Docker daemon, where its cgroup files can be read",
    NoteKind.TORN_RECORDS: "a process was killed while it wrote its last record, or the disk was full (df -h)",
    NoteKind.SLOW_STORAGE_DRIVER: "compare only with runs on this driver; overlay2 is faster (seatrial doctor)",
    NoteKind.LOCAL_ENGINE: "start Docker for containers (seatrial doctor); compare only with runs of this engine",
    NoteKind.PUBLISHED_PORT: "run on Linux beside the daemon, where containers have addresses that can be reached",
    NoteKind.GENERATOR_BUSY: "use fewer users or more cores: latency may hold the generator's own queueing",
    NoteKind.GENERATOR_LATE: "leave the machine to the run, or the load cores of its own (pinning, more cores)",
    NoteKind.SATURATED: "ask for less, or look for what holds the stack back: at this rate its queue grows",
    NoteKind.LATE_ARRIVALS: "raise users: an open load needs as many as it has arrivals in flight, and some more",
    NoteKind.WORKER_LOST: "look at logs/locust.log: a load process was killed (for want of memory?) or crashed",
    NoteKind.LOCUST_EVENTS: "build the users on seatrial.user for exact bytes, first byte, and outcomes",
    NoteKind.WARMUP_UNSTABLE: "raise the limit of the warm-up, or look for what still changes in the stack",
    NoteKind.LONG_FLOWS: "let them settle for longer (compare: {slice: 2s, settle: 500ms}), or compare by runs",
    NoteKind.SHARED_CORES: "a machine with more cores lets load and stack have their own",
    NoteKind.FOREIGN_CPU: "end what else runs on this host (`top` shows it), or measure on one that is left alone",
    NoteKind.STOLEN_CPU: "use a machine with processors of its own, or more blocks in a quieter hour",
    NoteKind.LOAD_THROTTLED: "start Seatrial where no CPU quota, or a larger one, holds it (docker run --cpus)",
    NoteKind.SERVICE_THROTTLED: "its limit (cpus, deploy.resources.limits) is part of what is measured; raise it?",
    NoteKind.LOAD_ENDED_EARLY: "look at logs/locust.log; a locustfile must not stop or quit its runner by itself",
    NoteKind.STOPPED_EARLY: "look at what the rule saw; if it is too strict, change stop_when",
    NoteKind.RULE_WITHOUT_VALUE: "look at the rule's name, and for a share of memory at the service's limit",
    NoteKind.INTERRUPTED: "run it again to the end; what was recorded until then is shown",
    NoteKind.RECOVERED: "run it again; what was recorded until the kill is shown",
}


def mend(kind: NoteKind) -> str:
    """Return the advice for a note; empty if there is none."""
    return MENDS.get(kind, "")
