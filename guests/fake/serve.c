/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One epoll set holds the doorbells, the connection and the signals; there is nothing else to wait
 * for, so it is waited on directly; a main context would add its own poll and more to each wake-up.
 * The doorbells are watched edge-triggered: each ring makes an event, whether the counter was read
 * or not, so it is read only at first and when it has reached its limit, which shows in that it is
 * no longer writable. A wake-up then costs two system calls, epoll_wait and the answer's write. The
 * server drains the counters before the next VM.
 *
 * With --slow a region that was rung stands in a queue until its answer is due. All delays are
 * equal, so the queue is in the order of the times, and each region stands there at most once.
 */
#include "guests/fake/serve.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "guests/scribble.h"
#include "vsoc/ready.h"
#include "vsoc/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MAX_EVENTS       64
#define SCRIBBLE_WORDS   4096 /* in a turn */
#define SCRIBBLE_TURN_MS 1

/* Of an epoll event; below are the regions' indices. */
#define ID_CONNECTION VSOC_MAX_REGIONS
#define ID_SIGNALS    (VSOC_MAX_REGIONS + 1)

typedef enum {
    VM_SERVING,
    VM_STOPPED, /* by a signal */
    VM_CLOSED,  /* the server has closed the connection */
    VM_FAILED,
} VmState;

typedef struct {
    gint64 due;
    guint region;
} Delayed;

typedef struct {
    CvdVmAttachment *attachment;
    const CvdVmOptions *options;
    VmState state;
    gboolean is_ready; /* and has said so in the window */
    int epoll_fd;
    struct vsoc_service service;
    gint64 retry_at;                   /* where something is stalled */
    GError **error;                    /* of cvd_vm_serve() */
    Delayed delayed[VSOC_MAX_REGIONS]; /* a ring */
    guint first_delayed;
    guint n_delayed;
    gboolean is_settled[VSOC_MAX_REGIONS]; /* each event is a ring's, see rung() */
    gboolean is_delayed[VSOC_MAX_REGIONS];
    gboolean wants_echo[VSOC_MAX_REGIONS]; /* of those that are delayed */
    CvdScribbler scribbler;
    gint64 scribble_at;
    guint64 n_served;
} Vm;

static Vm vm;

static void ring_fd(int fd)
{
    guint64 one = 1;
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    /* A counter that is at its limit was rung as it is. Others can have it block, but that costs a
     * look at the counter only where they did. */
    if ((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0 && poll(&room, 1, 0) == 0)
        return;
    G_GNUC_UNUSED gssize n = write(fd, &one, sizeof one);
}

static void ring(void *data, guint32 region)
{
    ring_fd(vm.attachment->handover.guest_to_host[region]);
}

/* The doorbell comes after the hand-over, and only from a server that asks. */
static void ring_ready(void)
{
    if (vm.is_ready && vm.attachment->handover.ready_fd >= 0)
        ring_fd(vm.attachment->handover.ready_fd);
}

static void start_timer(void *data)
{
    vm.retry_at = g_get_monotonic_time() + VSOC_RETRY_MS * G_TIME_SPAN_MILLISECOND;
}

static void say(void *data, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void say(void *data, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_message("%s", text);
}

static void set_error(void *data, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void set_error(void *data, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_propagate_error(vm.error, g_error_new_valist(CVD_ERROR, CVD_ERROR_PROTOCOL, format, args));
    va_end(args);
    vm.state = VM_FAILED;
}

static const struct vsoc_service_hooks hooks = {ring, start_timer, say, set_error};

static gboolean open_window(void)
{
    guint n_regions = vm.attachment->handover.n_regions;

    if (vsoc_service_open(&vm.service, vm.attachment->map, vm.attachment->size, n_regions, &hooks,
                          NULL))
        return FALSE;
    if (vm.service.window.layout.region_count == n_regions)
        return TRUE;
    set_error(NULL, "bad layout: region_count is %u after it was %u",
              vm.service.window.layout.region_count, n_regions);
    return FALSE;
}

static gboolean watch(int fd, guint32 events, guint id)
{
    struct epoll_event event = {.events = events, .data.u32 = id};

    if (epoll_ctl(vm.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return TRUE;
    vm.state = VM_FAILED;
    return cvd_set_error_errno(vm.error, CVD_ERROR_FAILED, errno, "epoll_ctl");
}

static gboolean watch_doorbells(void)
{
    for (guint i = 0; i < vm.service.window.layout.region_count; i++) {
        int in = vm.attachment->handover.host_to_guest[i];
        int out = vm.attachment->handover.guest_to_host[i];

        /* As QEMU does: the flag is on the descriptions that all holders share. */
        fcntl(in, F_SETFL, O_NONBLOCK);
        fcntl(out, F_SETFL, O_NONBLOCK);
        if (!watch(in, EPOLLIN | EPOLLOUT | EPOLLET, i))
            return FALSE;
    }
    return TRUE;
}

static void serve(guint region, gboolean is_rung)
{
    vsoc_service_serve(&vm.service, region, is_rung);
    if (!is_rung)
        return;
    vm.n_served++;
    if (vm.options->dies && vm.n_served == vm.options->die_after)
        raise(SIGKILL);
}

static void delay(guint region, gboolean echo)
{
    vm.wants_echo[region] |= echo;
    if (vm.is_delayed[region])
        return;
    vm.is_delayed[region] = TRUE;
    vm.delayed[(vm.first_delayed + vm.n_delayed++) % VSOC_MAX_REGIONS] = (Delayed){
        .due = g_get_monotonic_time() + vm.options->slow_ms * G_TIME_SPAN_MILLISECOND,
        .region = region,
    };
}

static void serve_or_delay(guint region, gboolean echo)
{
    if (vm.options->slow_ms > 0)
        delay(region, echo);
    else
        serve(region, echo);
}

static void serve_delayed(void)
{
    gint64 now_us = vm.n_delayed > 0 ? g_get_monotonic_time() : 0;

    while (vm.n_delayed > 0 && vm.delayed[vm.first_delayed].due <= now_us) {
        guint region = vm.delayed[vm.first_delayed].region;
        gboolean echo = vm.wants_echo[region];

        vm.first_delayed = (vm.first_delayed + 1) % VSOC_MAX_REGIONS;
        vm.n_delayed--;
        vm.is_delayed[region] = vm.wants_echo[region] = FALSE;
        serve(region, echo);
    }
}

static void serve_due(void)
{
    if (vm.service.stalled.any && g_get_monotonic_time() >= vm.retry_at)
        vsoc_service_retry(&vm.service);
    for (int region; (region = vsoc_service_next(&vm.service)) >= 0;)
        serve_or_delay((guint)region, FALSE);
}

static void scribble(void)
{
    gint64 now_us = g_get_monotonic_time();

    if (now_us < vm.scribble_at)
        return;
    vm.scribble_at = now_us + SCRIBBLE_TURN_MS * G_TIME_SPAN_MILLISECOND;
    cvd_scribbler_write(&vm.scribbler, SCRIBBLE_WORDS);
    ring(NULL, (guint32)cvd_scribbler_choose_region(&vm.scribbler));
}

/*
 * The first look at a doorbell makes an event, and so does each read, as it makes room. Such a one
 * may show a ring that has an event of its own still to come, which would be served twice: so until
 * one has been seen that shows no ring, the counter is read, and that event will show none.
 */
static void rung(guint region, guint32 events)
{
    guint64 count;

    if ((events & EPOLLIN) == 0) {
        vm.is_settled[region] = TRUE;
        return;
    }
    if (!vm.is_settled[region] || (events & EPOLLOUT) == 0) {
        G_GNUC_UNUSED gssize n =
            read(vm.attachment->handover.host_to_guest[region], &count, sizeof count);
        vm.is_settled[region] = FALSE;
    }
    serve_or_delay(region, TRUE);
}

static gboolean hear_server(void)
{
    g_autoptr(GError) error = NULL;
    CvdHandoverEvent event =
        cvd_handover_read(&vm.attachment->handover, vm.attachment->connection, &error);

    if (event == CVD_HANDOVER_READY)
        ring_ready();
    if (event != CVD_HANDOVER_FAILED)
        return TRUE;
    vm.state = VM_CLOSED;
    if (g_error_matches(error, CVD_ERROR, CVD_ERROR_CLOSED))
        return TRUE;
    vm.state = VM_FAILED;
    return cvd_pass_error(vm.error, &error);
}

static gboolean dispatch(const struct epoll_event *event)
{
    switch (event->data.u32) {
    case ID_CONNECTION:
        return hear_server();
    case ID_SIGNALS:
        vm.state = VM_STOPPED;
        return TRUE;
    default:
        rung(event->data.u32, event->events);
        return TRUE;
    }
}

/* Returns: for epoll_wait */
static int begin_round(void)
{
    if (vsoc_service_begin_round(&vm.service))
        return 0;
    if (vm.options->scribbles)
        return SCRIBBLE_TURN_MS;
    gint64 due = vm.n_delayed > 0 ? vm.delayed[vm.first_delayed].due : G_MAXINT64;
    if (vm.service.stalled.any)
        due = MIN(due, vm.retry_at);
    if (due == G_MAXINT64)
        return -1;
    gint64 left_us = due - g_get_monotonic_time();
    return left_us <= 0 ? 0 : (int)(left_us / 1000) + 1;
}

static gboolean run(void)
{
    struct epoll_event events[MAX_EVENTS];

    while (vm.state == VM_SERVING) {
        int n = epoll_wait(vm.epoll_fd, events, MAX_EVENTS, begin_round());

        for (int i = 0; i < n && vm.state == VM_SERVING; i++)
            if (!dispatch(&events[i]))
                return FALSE;
        serve_due();
        serve_delayed();
        if (vm.options->scribbles)
            scribble();
    }
    return TRUE;
}

static void open_regions(void)
{
    if (!vm.options->is_mute) {
        vsoc_service_look_at_all(&vm.service);
        vm.is_ready = vsoc_window_set_ready(&vm.service.window) == 0;
        ring_ready();
    }
    if (vm.options->scribbles)
        g_message("scribbling, seed %" G_GUINT64_FORMAT, vm.options->seed);
    g_message(vm.options->is_mute ? "mute: nothing is served" : "ready");
}

gboolean cvd_vm_serve(CvdVmAttachment *attachment, int signal_fd, const CvdVmOptions *options,
                      GError **error)
{
    vm.attachment = attachment;
    vm.options = options;
    vm.error = error;
    cvd_autofd epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    vm.epoll_fd = epoll_fd;
    if (!open_window() || !watch(attachment->connection, EPOLLIN, ID_CONNECTION) ||
        !watch(signal_fd, EPOLLIN, ID_SIGNALS))
        return FALSE;
    if (!options->is_mute && !watch_doorbells())
        return FALSE;
    cvd_scribbler_init(&vm.scribbler, &vm.service.window, options->seed);
    open_regions();
    cvd_log_never_block();
    if (!run())
        return FALSE;
    g_message(vm.state == VM_CLOSED ? "the server closed the connection" : "stopped");
    if (vm.service.n_dropped > 0)
        g_message("%u signals dropped", vm.service.n_dropped);
    g_info("%" G_GUINT64_FORMAT " wake-ups served", vm.n_served);
    return TRUE;
}
