"""Writes events.out.tfevents by TensorBoard's own code, and reads it by its EventAccumulator; given a folder
that a training wrote, reads that, and its log.csv by pandas:

    python make_events.py [folder]
"""

import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def histogram(values):
    values = [v for v in values if v - v == 0]
    low, high = min(values), max(values)
    width = (high - low) / 30 if high > low else 1.0
    counts = [0.0] * 30
    for v in values:
        counts[min(int((v - low) / width), 29)] += 1
    return HistogramProto(
        min=low,
        max=high,
        num=len(values),
        sum=sum(values),
        sum_squares=sum(v * v for v in values),
        bucket_limit=[low + width * (i + 1) for i in range(30)],
        bucket=counts,
    )


def event(seconds, step, *values):
    return Event(wall_time=seconds, step=step, summary=Summary(value=values))


def write(path):
    scalar = lambda tag, value: Summary.Value(tag=tag, simple_value=value)
    histo = lambda tag, values: Summary.Value(tag=tag, histo=histogram(values))
    start = SessionLog(status=SessionLog.START)
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        for one in [
            Event(wall_time=1000.5, file_version="brain.Event:2"),
            Event(wall_time=1001.5, step=301, session_log=start),
            event(1002.5, 400, scalar("loss", 0.625), scalar("accuracy", 1e-9)),
            event(1003.5, 2**32 - 1, histo("weights", [i * i / 64 for i in range(100)])),
            event(1004.5, 500, histo("zeros", [0.0, 0.0])),
        ]:
            writer.write(one.SerializeToString(deterministic=True))
        writer.flush()


def read(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()
    for tag in tags["scalars"]:
        print(folder, tag, [(e.step, e.value) for e in events.Scalars(tag)])
    for tag in tags["histograms"]:
        for e in events.Histograms(tag):
            print(folder, tag, e.step, e.histogram_value.num, sum(e.histogram_value.bucket))
    return events


if len(sys.argv) > 1:
    for folder in sorted({path.parent for path in Path(sys.argv[1]).rglob("*tfevents*")}):
        read(folder)
    for path in Path(sys.argv[1]).rglob("*.csv"):
        import pandas

        table = pandas.read_csv(path)
        print(table.to_string())
        assert not table.isna().any().any() and set(table.dtypes.map(str)) == {"int64", "float64"}
else:
    path = Path(__file__).parent / "events.out.tfevents"
    write(path)
    events = read(path)
    assert [e.value for e in events.Scalars("loss")] == [0.625]
    assert events.Histograms("weights")[0].histogram_value.num == 100
