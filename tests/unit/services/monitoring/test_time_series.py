"""Cloud Monitoring's methods: what is measured is listed, aligned and reduced; what is wrong is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving import NOW, OPERATOR, Region

from fogbank.discovery.routes import methods
from fogbank.errors import ApiError
from fogbank.frontend.api.coverage import handled
from fogbank.resources.log_entries import time_of, time_text
from fogbank.resources.time_series import BOUNDS, Distribution, Key, Point, Sample, labels
from fogbank.services.monitoring import SERVICE
from fogbank.services.monitoring.filters import parse_filter
from fogbank.store.time_series import TimeSeries

END = time_of(NOW) / 1e9
NAMES = {
    "aligner": "aggregation.perSeriesAligner", "reducer": "aggregation.crossSeriesReducer",
    "by": "aggregation.groupByFields", "period": "aggregation.alignmentPeriod",
}  # fmt: skip
METHOD = "monitoring.v3.projects."
COUNT = "run.googleapis.com/request_count"


WEB = f'metric.type="{COUNT}" resource.labels.service_name="web" AND metric.labels.response_code="200"'


def key(service="web", code="200", metric=COUNT, project="demo"):
    return Key(project, metric, labels({"response_code": code}), "cloud_run_revision",
               labels({"project_id": project, "service_name": service}))  # fmt: skip


class Monitoring:
    def __init__(self, folder):
        self.series = TimeSeries()
        self.region = Region(folder, [SERVICE], {"monitoring": self.series})
        for minute in range(5):
            at = END - 60 * (4 - minute)
            samples = [
                Sample(key(), "DELTA", 10 * minute),
                Sample(key(code="500"), "DELTA", 1),
                Sample(key("api"), "DELTA", 2),
                Sample(key(metric="run.googleapis.com/container/instance_count"), "GAUGE", minute),
            ]
            self.series.add(samples, at - 60, at)

    async def list(self, filter_=f'metric.type="{COUNT}"', minutes=5.0, **more):
        interval = {
            "interval.startTime": time_text(int((END - 60 * minutes) * 1e9)),
            "interval.endTime": time_text(int(END * 1e9)),
        }
        query = {NAMES.get(name, name): value for name, value in more.items()}
        parameters = {"name": "projects/demo", "filter": filter_, **interval, **query}
        answer = await self.region.calls.invoke(OPERATOR, f"{METHOD}timeSeries.list", parameters)
        return answer.get("timeSeries", [])

    async def create(self, *series):
        body = {"timeSeries": list(series)}
        where = {"name": "projects/demo"}
        return await self.region.calls.invoke(OPERATOR, f"{METHOD}timeSeries.create", where, body)


@pytest.fixture
async def monitoring(tmp_path):
    made = Monitoring(tmp_path)
    yield made
    await made.region.store.close()


def numbers(series):
    return [next(iter(point["value"].values())) for point in series["points"]]


async def test_series_are_listed_with_the_newest_point_first(monitoring):
    (series,) = await monitoring.list(WEB)
    assert series["metric"] == {"type": COUNT, "labels": {"response_code": "200"}}
    assert (series["metricKind"], series["valueType"]) == ("DELTA", "INT64")
    assert numbers(series) == ["40", "30", "20", "10", "0"]
    newest = series["points"][0]["interval"]
    assert newest == {"startTime": time_text(int((END - 60) * 1e9)), "endTime": time_text(int(END * 1e9))}
    assert [numbers(each) for each in await monitoring.list(WEB, minutes=1)] == [["40", "30"]]


async def test_a_gauge_has_one_end_and_a_bare_view_no_points(monitoring):
    gauge = 'metric.type="run.googleapis.com/container/instance_count"'
    (series,) = await monitoring.list(gauge)
    interval = series["points"][0]["interval"]
    assert interval["startTime"] == interval["endTime"]
    (bare,) = await monitoring.list(gauge, view="HEADERS")
    assert "points" not in bare


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"aligner": "ALIGN_DELTA", "period": "120s"}, ["70", "30", "0"]),
        ({"aligner": "ALIGN_RATE", "period": "60s"}, [40 / 60, 0.5, 20 / 60, 10 / 60, 0.0]),
        ({"aligner": "ALIGN_MAX", "period": "300s"}, ["40"]),
        ({"aligner": "ALIGN_MEAN", "period": "300s"}, [20.0]),
        ({"aligner": "ALIGN_COUNT", "period": "300s"}, ["5"]),
    ],
)
async def test_points_are_aligned(monitoring, more, wanted):
    (series,) = await monitoring.list(WEB, **more)
    assert numbers(series) == wanted


async def test_series_are_reduced_by_group(monitoring):
    by_service = {"aligner": "ALIGN_DELTA", "period": "300s", "reducer": "REDUCE_SUM"}
    found = await monitoring.list(**by_service, by=["resource.label.service_name"])
    sums = {each["resource"]["labels"]["service_name"]: numbers(each) for each in found}
    assert sums == {"web": ["105"], "api": ["10"]}
    (all_,) = await monitoring.list(**by_service)
    assert numbers(all_) == ["115"]


@pytest.mark.parametrize(
    ("filter_", "more", "why"),
    [
        ("", {}, "must say which metric.type"),
        ('metric.type="a" AND', {}, "ends with AND"),
        ('metric.type="a" OR metric.type="b"', {}, "does not implement OR, NOT and parentheses"),
        ("metric.type=", {}, "Could not parse filter"),
        ('metric.type="a" AND metric.size="b"', {}, "is not known"),
        ('metric.type=near("a")', {}, "The function 'near' is not known"),
        ('metric.type=monitoring.regex.full_match("(")', {}, "invalid regular expression"),
        ('metric.type="a" ' * 200, {}, "more than 2048 characters"),
        (None, {"aligner": "ALIGN_INTERPOLATE"}, "does not implement ALIGN_INTERPOLATE"),
        (None, {"aligner": "ALIGN_SUM", "period": "1s"}, "at least 60 seconds"),
        (None, {"reducer": "REDUCE_SUM"}, "needs a per-series aligner"),
        (None, {"aligner": "ALIGN_SUM", "reducer": "REDUCE_STDDEV"}, "does not implement REDUCE_STDDEV"),
        (None, {"minutes": -1.0}, "must not be after the end"),
        (None, {"pageToken": "?"}, "pageToken"),
        (None, {"secondaryAggregation.alignmentPeriod": "60s"}, "does not implement secondaryAggregation"),
    ],
)
async def test_a_bad_question_is_refused(monitoring, filter_, more, why):
    with pytest.raises(ApiError, match=why):
        await monitoring.list(f'metric.type="{COUNT}"' if filter_ is None else filter_, **more)


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        ('metric.type=starts_with("run.")', True),
        ('metric.type=ends_with("count")', True),
        ('metric.type=has_substring("quest")', True),
        ('metric.type:"quest"', True),
        ('metric.type=one_of("a", "run.googleapis.com/request_count")', True),
        ('metric.type=monitoring.regex.full_match("run.*")', True),
        ('metric.type=monitoring.regex.full_match("run")', False),
        ('metric.type!="x" resource.type=cloud_run_revision', True),
        ('resource.label."service_name"="web" AND project=demo', True),
        ('resource.label.service_name!="web"', False),
        ("metric.labels.missing=x", False),
        ("", True),
    ],
)
def test_filters(text, keeps):
    assert parse_filter(text)(key()) == keeps


def written(value, end=END, **more):
    point = {"interval": {"endTime": time_text(int(end * 1e9))}, "value": value}
    return {"metric": {"type": "custom.googleapis.com/mine", "labels": {"a": "b"}}, "points": [point], **more}


@pytest.mark.parametrize(
    "value", [{"doubleValue": 2.5}, {"int64Value": "7"}, {"boolValue": True}, {"stringValue": "x"}]
)
async def test_clients_write_series_of_their_own(monitoring, value):
    assert await monitoring.create(written(value)) == {}
    (series,) = await monitoring.list('metric.type="custom.googleapis.com/mine"')
    assert series["points"][0]["value"] == value
    assert series["resource"] == {"type": "global", "labels": {"project_id": "demo"}}
    listed = await monitoring.region.calls.invoke(
        OPERATOR, f"{METHOD}metricDescriptors.list",
        {"name": "projects/demo", "filter": 'metric.type = "custom.googleapis.com/mine"'},
    )  # fmt: skip
    assert [each["type"] for each in listed["metricDescriptors"]] == ["custom.googleapis.com/mine"]


ONE = {"int64Value": "1"}
TWO_KINDS = [written(ONE), written(ONE, END + 1, metricKind="CUMULATIVE")]


@pytest.mark.parametrize(
    ("series", "why"),
    [
        ([], "from 1 to 200"),
        ([written({"int64Value": "1"})] * 201, "from 1 to 200"),
        ([written({"int64Value": "1"})] * 2, "not newer than the one before"),
        (TWO_KINDS, "is a GAUGE"),
        ([written({"int64Value": "1"}, END + 1000)], "more than 5 minutes in the future"),
        ([written({})], "must be a bool"),
        ([written({"int64Value": "1"}, metric={"type": COUNT})], "must start with one of"),
        ([written({"int64Value": "1"}, points=[])], "must have one element"),
        ([written({"int64Value": "1"}, metricKind="DELTA")], "must be GAUGE or CUMULATIVE"),
    ],
)  # fmt: skip
async def test_what_cannot_be_written_is_refused(monitoring, series, why):
    with pytest.raises(ApiError, match=why):
        await monitoring.create(*series)


async def test_descriptors_are_listed_and_read(monitoring):
    async def call(method, name):
        return await monitoring.region.calls.invoke(OPERATOR, METHOD + method, {"name": name})

    metrics = (await call("metricDescriptors.list", "projects/demo"))["metricDescriptors"]
    for each in metrics:
        assert await call("metricDescriptors.get", each["name"]) == each
    resources = (await call("monitoredResourceDescriptors.list", "projects/demo"))["resourceDescriptors"]
    for each in resources:
        assert await call("monitoredResourceDescriptors.get", each["name"]) == each
    with pytest.raises(ApiError, match="Could not find descriptor for metric 'x'"):
        await call("metricDescriptors.get", "projects/demo/metricDescriptors/x")
    with pytest.raises(ApiError, match="Could not find descriptor for resource 'x'"):
        await call("monitoredResourceDescriptors.get", "projects/demo/monitoredResourceDescriptors/x")


async def test_what_is_not_built_is_refused_by_its_name(monitoring):
    described = [m for version in SERVICE.versions for m in methods(f"monitoring.{version}").values()]
    for method in (each for each in described if not handled(SERVICE, each)):
        with pytest.raises(ApiError) as caught:
            monitoring.region.calls.check_built(method)
        assert (caught.value.code, method.id in caught.value.message) == (400, True)


def test_series_are_bounded_and_the_one_that_rests_longest_goes():
    series = TimeSeries(most_series=2)
    for number in range(5):
        series.append(key(str(number)), "GAUGE", Point(END, END, number))
    series.append(key("3"), "GAUGE", Point(END + 1, END + 1, 1))
    series.append(key("5"), "GAUGE", Point(END, END, 1))
    kept = [dict(each.resource_labels)["service_name"] for each in series.keys("demo")]
    assert kept == ["3", "5"]
    for minute in range(2000):
        series.append(key("5"), "GAUGE", Point(END + 60 * minute + 1, END + 60 * minute + 1, minute))
    (found,) = series.find("demo", lambda each: each == key("5"), 0, 1e12)
    assert len(found.points) == 1440


VALUES = st.lists(st.floats(0.0, 1e5), min_size=1, max_size=30)


@given(VALUES, VALUES)
def test_distributions_add_up(first, second):
    def of(values):
        made = Distribution()
        for value in values:
            made = made.with_value(value)
        return made

    whole = of(first).merged(of(second))
    assert whole.counts == of(first + second).counts
    assert whole.count == len(first + second)
    assert whole.mean == pytest.approx(sum(first + second) / len(first + second))
    middle = sorted(first + second)[(len(first + second) - 1) // 2]
    about = whole.percentile(0.5)
    assert about <= max(BOUNDS[0], middle * 1.5) * (1 + 1e-9)
    assert about >= 0


def counted(value, at, *, start=-600, **more):
    """A point of a series that counts, seconds from now."""
    interval = {"startTime": time_text(int((END + start) * 1e9)), "endTime": time_text(int((END + at) * 1e9))}
    metric = {"type": "custom.googleapis.com/total"}
    return {
        "metric": metric,
        "metricKind": "CUMULATIVE",
        "points": [{"interval": interval, "value": value}],
        **more,
    }


async def test_a_delta_of_a_count_is_what_was_added_and_a_new_start_counts_anew(monitoring):
    for total, at in ((100, -240), (103, -170), (110, -110)):
        await monitoring.create(counted({"int64Value": str(total)}, at))
    await monitoring.create(counted({"int64Value": "4"}, -50, start=-100))
    filter_ = 'metric.type="custom.googleapis.com/total"'
    (series,) = await monitoring.list(filter_, aligner="ALIGN_DELTA", period="60s")
    assert numbers(series) == ["4", "7", "3"]
    (series,) = await monitoring.list(filter_, aligner="ALIGN_RATE", period="60s")
    assert numbers(series) == [4 / 60, 7 / 60, 3 / 60]


async def test_texts_can_be_counted_and_nothing_else(monitoring):
    metric = {"type": "custom.googleapis.com/word"}
    point = {"interval": {"endTime": time_text(int(END * 1e9))}, "value": {"stringValue": "x"}}
    await monitoring.create({"metric": metric, "points": [point]})
    filter_ = 'metric.type="custom.googleapis.com/word"'
    (series,) = await monitoring.list(filter_, aligner="ALIGN_COUNT", period="60s")
    assert numbers(series) == ["1"]
    for aligner in ("ALIGN_MAX", "ALIGN_MEAN", "ALIGN_NEXT_OLDER"):
        with pytest.raises(ApiError, match="is for numbers"):
            await monitoring.list(filter_, aligner=aligner, period="60s")


@pytest.mark.parametrize(
    ("options", "bounds"),
    [
        ({"explicitBuckets": {"bounds": [1, 5]}}, [1, 5]),
        ({"linearBuckets": {"numFiniteBuckets": 2, "width": 3, "offset": 1}}, [1, 4, 7]),
        ({"exponentialBuckets": {"numFiniteBuckets": 2, "growthFactor": 2, "scale": 3}}, [3, 6, 12]),
    ],
)
async def test_distributions_keep_their_own_buckets(monitoring, options, bounds):
    filter_ = 'metric.type="custom.googleapis.com/total"'
    for count, at in ((1, -240), (3, -170)):
        value = {
            "count": str(count),
            "mean": 2.0,
            "bucketOptions": options,
            "bucketCounts": ["0", str(count)],
        }
        await monitoring.create(counted({"distributionValue": value}, at))
    (series,) = await monitoring.list(filter_)
    shown = series["points"][0]["value"]["distributionValue"]
    assert shown["bucketOptions"]["explicitBuckets"]["bounds"] == bounds
    assert shown["bucketCounts"] == ["0", "3", *["0"] * (len(bounds) - 1)]
    (series,) = await monitoring.list(filter_, aligner="ALIGN_DELTA", period="60s")
    assert series["points"][0]["value"]["distributionValue"]["count"] == "2"


async def test_libraries_write_the_series_of_services_which_clients_may_not(monitoring):
    series = counted({"int64Value": "1"}, 0)
    service = {**series, "metric": {"type": "spanner.googleapis.com/internal/client/operation_count"}}
    where, method = {"name": "projects/demo"}, f"{METHOD}timeSeries.createService"
    invoke = monitoring.region.calls.invoke
    assert await invoke(OPERATOR, method, where, {"timeSeries": [service]}) == {}
    with pytest.raises(ApiError, match="one of a Google Cloud service"):
        await invoke(OPERATOR, method, where, {"timeSeries": [series]})
    with pytest.raises(ApiError, match=r"must start with one of custom\.googleapis\.com/"):
        await monitoring.create(service)
