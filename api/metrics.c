/* GET /metrics: everything that is counted, as OpenMetrics text. docs/metrics.md explains each; a
 * test compares the two. */
#include "api/handlers.h"
#include "api/openmetrics.h"
#include "api/server.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/proc.h"
#include "core/core/measure.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

#define LABELS(...)                                                                                \
    (const struct openmetrics_label[])                                                             \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

static void gauge(struct strbuf *out, const char *name, const char *unit, const char *help,
                  uint64_t value)
{
    openmetrics_family(out, name, "gauge", unit, help);
    openmetrics_sample(out, name, "", NULL, value);
}

static void counter(struct strbuf *out, const char *name, const char *help, uint64_t value)
{
    openmetrics_family(out, name, "counter", "", help);
    openmetrics_sample(out, name, "_total", NULL, value);
}

/* ---- the process ---- */

static void add_process(struct strbuf *out)
{
    struct proc_facts facts;
    struct rlimit files;

    openmetrics_family(out, "vmmd_build", "info", "", "The version that runs.");
    openmetrics_sample(out, "vmmd_build", "_info", LABELS({"version", VMMD_VERSION}), 1);
    if (proc_read_self(&facts)) {
        openmetrics_family(out, "process_cpu_seconds", "counter", "seconds",
                           "CPU time of vmmd-main.");
        openmetrics_seconds(out, "process_cpu_seconds", "_total", NULL, facts.cpu_ms * 1000);
        gauge(out, "process_resident_memory_bytes", "bytes", "Resident memory of vmmd-main.",
              facts.rss_bytes);
        gauge(out, "process_threads", "", "Threads of vmmd-main.", facts.threads);
        gauge(out, "process_open_fds", "", "Open descriptors of vmmd-main.", facts.open_fds);
        openmetrics_family(out, "process_start_time_seconds", "gauge", "seconds",
                           "When vmmd-main began, in seconds since 1970.");
        openmetrics_seconds(out, "process_start_time_seconds", "", NULL,
                            (uint64_t)clock_wall_ms() * 1000 - facts.age_ms * 1000);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        gauge(out, "process_max_fds", "", "How many descriptors vmmd-main may have.",
              files.rlim_cur);
}

/* ---- HTTP ---- */

/* "2xx" for each class that was seen: a series that never counted is not shown. */
static void add_route(struct strbuf *out, struct meter *meter, size_t i)
{
    static const char *const classes[METER_CLASSES] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    const char *route = i < n_routes ? routes[i].pattern : "none";
    const char *method = i < n_routes ? routes[i].method : "none";

    for (unsigned k = 0; k < METER_CLASSES; k++) {
        struct histogram_seen seen;
        histogram_read(&meter->requests[i][k], &histogram_requests, &seen);
        if (seen.upto[histogram_requests.n])
            openmetrics_histogram(
                out, "vmmd_http_request_duration_seconds",
                LABELS({"route", route}, {"method", method}, {"status", classes[k]}),
                &histogram_requests, &seen);
    }
}

static void add_requests(struct strbuf *out, struct api *api)
{
    static const char *const limits[METER_LIMITS] = {"changes", "authentication"};

    openmetrics_family(out, "vmmd_http_request_duration_seconds", "histogram", "seconds",
                       "Time from the request line to the reply, or to the beginning of a stream; "
                       "long polls count with their waiting.");
    for (size_t i = 0; i <= n_routes; i++)
        add_route(out, &api->meter, i);
    gauge(out, "vmmd_http_requests_in_flight", "", "Requests that are being answered.",
          atomic_load(&api->active));
    openmetrics_family(out, "vmmd_http_requests_limited", "counter", "",
                       "Requests that got 429, by the limit that they met.");
    for (unsigned i = 0; i < METER_LIMITS; i++)
        openmetrics_sample(out, "vmmd_http_requests_limited", "_total",
                           LABELS({"limit", limits[i]}), atomic_load(&api->meter.limited[i]));
    counter(out, "vmmd_http_authentications_failed", "Requests with a token that was not good.",
            atomic_load(&api->meter.failed_auth));
}

static void add_connections(struct strbuf *out, struct api *api, const struct conn_facts *facts)
{
    static const char *const doors[METER_DOORS] = {"tls", "unix"};
    struct meter *m = &api->meter;

    openmetrics_family(out, "vmmd_http_connections", "gauge", "", "Open connections.");
    for (unsigned i = 0; i < METER_DOORS; i++)
        openmetrics_sample(out, "vmmd_http_connections", "", LABELS({"door", doors[i]}),
                           facts->open[i]);
    gauge(out, "vmmd_http_connections_unauthenticated", "",
          "Open connections that have shown no good token yet.", facts->strangers);
    openmetrics_family(out, "vmmd_http_connections_accepted", "counter", "",
                       "Connections that were taken.");
    for (unsigned i = 0; i < METER_DOORS; i++)
        openmetrics_sample(out, "vmmd_http_connections_accepted", "_total",
                           LABELS({"door", doors[i]}), atomic_load(&m->accepted[i]));
    openmetrics_family(out, "vmmd_http_connections_ended", "counter", "",
                       "Connections that vmmd-main refused or ended, by reason.");
    for (unsigned i = 0; i < METER_REFUSALS_COUNT; i++)
        openmetrics_sample(out, "vmmd_http_connections_ended", "_total",
                           LABELS({"reason", meter_refusal_labels[i]}),
                           atomic_load(&m->refused[i]));
    openmetrics_family(out, "vmmd_front_connections_refused", "counter", "",
                       "Connections that vmmd-front refused, by reason; as of the latest "
                       "connection that it handed over.");
    openmetrics_sample(out, "vmmd_front_connections_refused", "_total",
                       LABELS({"reason", "connections"}), atomic_load(&m->front_full));
    openmetrics_sample(out, "vmmd_front_connections_refused", "_total",
                       LABELS({"reason", "address"}), atomic_load(&m->front_address));
    counter(out, "vmmd_front_handshakes_failed", "TLS handshakes that failed or took too long.",
            atomic_load(&m->front_handshakes));
}

/* ---- the core ---- */

static void add_operations(struct strbuf *out, const struct core_measures *m)
{
    openmetrics_family(out, "vmmd_operations", "counter", "",
                       "Operations that ended since vmmd-main began, by kind and final state.");
    for (size_t i = 0; i < m->n_ends; i++)
        openmetrics_sample(out, "vmmd_operations", "_total",
                           LABELS({"kind", m->ends[i].kind}, {"state", m->ends[i].state}),
                           m->ends[i].ended);
    openmetrics_family(out, "vmmd_operation_duration_seconds", "histogram", "seconds",
                       "Time from the start of an operation to its end.");
    for (size_t i = 0; i < m->n_kinds; i++)
        if (m->kinds[i].seconds.upto[histogram_operations.n])
            openmetrics_histogram(out, "vmmd_operation_duration_seconds",
                                  LABELS({"kind", m->kinds[i].kind}), &histogram_operations,
                                  &m->kinds[i].seconds);
    gauge(out, "vmmd_operations_running", "", "Operations at work.", m->jobs_running);
    gauge(out, "vmmd_operations_queued", "", "Operations that wait for their turn.",
          m->jobs_queued);
}

static void add_events(struct strbuf *out, const struct core_measures *m,
                       const struct conn_facts *conns)
{
    uint64_t behind =
        conns->feed_after < m->events.newest ? m->events.newest - conns->feed_after : 0;

    gauge(out, "vmmd_events_newest", "", "The number of the newest event.", m->events.newest);
    gauge(out, "vmmd_event_streams", "", "Event streams that are being followed.", conns->feeds);
    gauge(out, "vmmd_event_streams_behind", "",
          "How many events the slowest stream has not been sent yet.", behind);
    gauge(out, "vmmd_events_cached", "", "Events that are kept in memory.", m->events.ring_lines);
    counter(out, "vmmd_events_reads", "Times that the database was read for events.",
            m->events.looks);
}

static void add_workers(struct strbuf *out, const struct core_measures *m)
{
    openmetrics_family(out, "vmmd_worker_start_duration_seconds", "histogram", "seconds",
                       "Time until a VM's worker and its jail run: cgroups, namespaces, programs.");
    openmetrics_histogram(out, "vmmd_worker_start_duration_seconds", NULL, &histogram_flushes,
                          &m->worker_starts);
}

static void add_store(struct strbuf *out, const struct core_measures *m)
{
    counter(out, "vmmd_store_commits", "Transactions that became durable.", m->store.commits);
    openmetrics_family(out, "vmmd_store_flush_duration_seconds", "histogram", "seconds",
                       "Time of a flush to the disk, which several transactions share.");
    openmetrics_histogram(out, "vmmd_store_flush_duration_seconds", NULL, &histogram_flushes,
                          &m->store.flush);
    gauge(out, "vmmd_store_size_bytes", "bytes", "Size of the database file.", m->store.file_bytes);
    gauge(out, "vmmd_store_wal_size_bytes", "bytes", "Size of the database's write-ahead log.",
          m->store.wal_bytes);
}

/* ---- VMs ---- */

/* How many VMs are in each state that any is in. */
static void add_states(struct strbuf *out, const struct core_measures *m)
{
    struct {
        const char *state;
        uint64_t n;
    } seen[32] = {0};
    size_t n_seen = 0, k;

    for (size_t i = 0; i < m->n_vms; i++) {
        for (k = 0; k < n_seen && strcmp(seen[k].state, m->vms[i].state) != 0; k++)
            ;
        if (k == ARRAY_LEN(seen))
            continue;
        n_seen += k == n_seen;
        seen[k].state = m->vms[i].state;
        seen[k].n++;
    }
    openmetrics_family(out, "vmmd_vms", "gauge", "", "VMs by state.");
    for (k = 0; k < n_seen; k++)
        openmetrics_sample(out, "vmmd_vms", "", LABELS({"state", seen[k].state}), seen[k].n);
}

/* One family with a sample for each VM. */
enum of_vm { OF_ALL, OF_MEASURED };
static void add_per_vm(struct strbuf *out, const struct core_measures *m, const char *name,
                       const char *type, const char *unit, const char *help, enum of_vm which,
                       size_t member)
{
    bool is_counter = strcmp(type, "counter") == 0;

    openmetrics_family(out, name, type, unit, help);
    for (size_t i = 0; i < m->n_vms; i++) {
        const struct measured_vm *vm = &m->vms[i];
        const struct openmetrics_label *labels =
            LABELS({"vm", UUID_STR(&vm->id)}, {"name", vm->name});
        uint64_t value;

        if (which == OF_MEASURED && !vm->has_usage)
            continue;
        memcpy(&value, (const char *)vm + member, sizeof value);
        if (strcmp(unit, "seconds") == 0)
            openmetrics_seconds(out, name, is_counter ? "_total" : "", labels, value * 1000);
        else
            openmetrics_sample(out, name, is_counter ? "_total" : "", labels, value);
    }
}

static void add_vms(struct strbuf *out, const struct core_measures *m)
{
    add_states(out, m);
    openmetrics_family(out, "vmmd_vm_state", "gauge", "", "1 for the state that the VM is in.");
    for (size_t i = 0; i < m->n_vms; i++)
        openmetrics_sample(out, "vmmd_vm_state", "",
                           LABELS({"vm", UUID_STR(&m->vms[i].id)}, {"name", m->vms[i].name},
                                  {"state", m->vms[i].state}),
                           1);
#define PER_VM(name, type, unit, which, member, help)                                              \
    add_per_vm(out, m, name, type, unit, help, which, offsetof(struct measured_vm, member))
    PER_VM("vmmd_vm_memory_bytes", "gauge", "bytes", OF_ALL, memory_bytes,
           "Memory that the VM is configured with, or was started with.");
    PER_VM("vmmd_vm_vcpus", "gauge", "", OF_ALL, vcpus,
           "Processors that the VM is configured with, or was started with.");
    PER_VM("vmmd_vm_cpu_seconds", "counter", "seconds", OF_MEASURED, usage.cpu_ms,
           "CPU time of the VM's QEMU process since it was started.");
    PER_VM("vmmd_vm_resident_memory_bytes", "gauge", "bytes", OF_MEASURED, usage.rss_bytes,
           "Resident memory of the VM's QEMU process.");
    PER_VM("vmmd_vm_uptime_seconds", "gauge", "seconds", OF_MEASURED, usage.uptime_ms,
           "Time since the VM's QEMU process was started.");
#undef PER_VM
}

bool metrics_get(struct request *rq, struct err *err)
{
    struct api *api = rq->api;
    CLEANUP(core_measures_clear) struct core_measures m = {0};
    struct conn_facts conns;
    struct strbuf out = {0};
    size_t len;

    (void)err;
    core_measure(api->config.core, &m);
    conn_list_facts(&api->conns, &conns);
    add_process(&out);
    add_requests(&out, api);
    add_connections(&out, api, &conns);
    add_operations(&out, &m);
    add_events(&out, &m, &conns);
    add_store(&out, &m);
    add_workers(&out, &m);
    add_vms(&out, &m);
    openmetrics_end(&out);
    len = out.len;
    return reply_bytes(rq, TYPE, strbuf_take(&out), len);
}
