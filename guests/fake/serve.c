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
#include "guests/builtin/signals.h"
#include "guests/builtin/window.h"
#include "guests/fake/scribble.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MAX_EVENTS       64
#define MAX_DROP_LINES   16
#define SCRIBBLE_WORDS   4096 /* in a turn */
#define SCRIBBLE_TURN_MS 1

/* Of an epoll event; below are the regions' indices. */
#define ID_CONNECTION CVD_GUEST_MAX_REGIONS
#define ID_SIGNALS    (CVD_GUEST_MAX_REGIONS + 1)

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
    const CvdVmAttachment *attachment;
    const CvdVmOptions *options;
    VmState state;
    int epoll_fd;
    struct cvd_guest_window window;
    guint64 again[CVD_GUEST_MAX_REGIONS / 64];   /* regions to look at once more, a bit each */
    guint64 unrung[CVD_GUEST_MAX_REGIONS / 64];  /* of those, the ones of this round */
    guint64 stalled[CVD_GUEST_MAX_REGIONS / 64]; /* regions whose answers have no room */
    gint64 stalled_until;                        /* 0: none is */
    gboolean any_again;
    gboolean any_unrung;
    Delayed delayed[CVD_GUEST_MAX_REGIONS]; /* a ring */
    guint first_delayed;
    guint n_delayed;
    gboolean is_settled[CVD_GUEST_MAX_REGIONS]; /* each event is a ring's, see rung() */
    gboolean is_delayed[CVD_GUEST_MAX_REGIONS];
    gboolean wants_echo[CVD_GUEST_MAX_REGIONS]; /* of those that are delayed */
    CvdScribbler scribbler;
    gint64 scribble_at;
    guint64 n_served;
    guint64 n_drops;
} Vm;

/* The hooks that the signals call are given a region and no more. */
static Vm vm;

static void ring(guint32 region)
{
    guint64 one = 1;

    /* It fails only when the counter is at its limit, and then the host is rung as it is. */
    G_GNUC_UNUSED gssize n = write(vm.attachment->handover.guest_to_host[region], &one, sizeof one);
}

static void drop(guint32 region, enum cvd_guest_drop why, guint32 offset)
{
    const char *text = why == CVD_GUEST_DROP_FULL ? "table full, not sent" : "bad offset";

    if (vm.n_drops++ < MAX_DROP_LINES)
        g_message("region %u: %s 0x%08x", region, text, offset);
    if (vm.n_drops == MAX_DROP_LINES)
        g_message("no more lines about dropped signals");
}

static guint64 bit_of(guint region)
{
    return G_GUINT64_CONSTANT(1) << region % 64;
}

static void stall(guint32 region)
{
    vm.stalled[region / 64] |= bit_of(region);
    if (vm.stalled_until == 0)
        vm.stalled_until = g_get_monotonic_time() + CVD_GUEST_STALL_MS * G_TIME_SPAN_MILLISECOND;
}

static const struct cvd_guest_hooks hooks = {ring, drop, stall};

static gboolean fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean fail(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, CVD_ERROR, CVD_ERROR_PROTOCOL, "%s", what);
    vm.state = VM_FAILED;
    return FALSE;
}

static gboolean open_window(GError **error)
{
    guint n_regions = vm.attachment->handover.n_regions;
    const struct vsoc_shm_layout_descriptor *l = &vm.window.layout;
    struct cvd_guest_fault fault;

    if (cvd_guest_window_open(&vm.window, vm.attachment->map, vm.attachment->size, n_regions,
                              &fault)) {
        if (fault.region < 0)
            return fail(error, "bad layout: %s (found 0x%x)", fault.rule, fault.value);
        return fail(error, "bad layout: region %d: %s (found 0x%x)", fault.region, fault.rule,
                    fault.value);
    }
    if (l->region_count != n_regions)
        return fail(error, "bad layout: region_count is %u after it was %u", l->region_count,
                    n_regions);
    g_message("window %u bytes, layout %u.%u, %u regions", l->size, l->major_version,
              l->minor_version, l->region_count);
    for (guint i = 0; i < n_regions; i++) {
        const struct vsoc_device_region *r = &vm.window.regions[i];

        g_message("region %u %s 0x%08x-0x%08x data 0x%x", i, r->device_name, r->region_begin_offset,
                  r->region_end_offset, r->offset_of_region_data);
    }
    return TRUE;
}

static gboolean watch(int fd, guint32 events, guint id, GError **error)
{
    struct epoll_event event = {.events = events, .data.u32 = id};

    if (epoll_ctl(vm.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return TRUE;
    vm.state = VM_FAILED;
    cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "epoll_ctl");
    return FALSE;
}

static gboolean watch_doorbells(GError **error)
{
    for (guint i = 0; i < vm.window.layout.region_count; i++) {
        int in = vm.attachment->handover.host_to_guest[i];
        int out = vm.attachment->handover.guest_to_host[i];

        /* As QEMU does: the flag is on the descriptions that all holders share. */
        fcntl(in, F_SETFL, O_NONBLOCK);
        fcntl(out, F_SETFL, O_NONBLOCK);
        if (!watch(in, EPOLLIN | EPOLLOUT | EPOLLET, i, error))
            return FALSE;
    }
    return TRUE;
}

static void serve(guint region, gboolean echo)
{
    gboolean any = cvd_guest_signals_receive(&vm.window, region, &hooks);

    if (!any && echo)
        ring(region);
    if (cvd_guest_signals_waiting(&vm.window, region)) {
        vm.again[region / 64] |= bit_of(region);
        vm.any_again = TRUE;
    }
    if (!echo)
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
    vm.delayed[(vm.first_delayed + vm.n_delayed++) % CVD_GUEST_MAX_REGIONS] = (Delayed){
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

        vm.first_delayed = (vm.first_delayed + 1) % CVD_GUEST_MAX_REGIONS;
        vm.n_delayed--;
        vm.is_delayed[region] = vm.wants_echo[region] = FALSE;
        serve(region, echo);
    }
}

/*
 * Who sets a word rings next, and that ring most often is there already: then it is the one to be
 * served, for without a word and a signal left it would pass for a plain one and be echoed. What
 * remains, once those that were rung have been served, was set by somebody who died before ringing.
 */
static void begin_round(void)
{
    if (!vm.any_again)
        return;
    memcpy(vm.unrung, vm.again, sizeof vm.unrung);
    memset(vm.again, 0, sizeof vm.again);
    vm.any_again = FALSE;
    vm.any_unrung = TRUE;
}

/* Those that found no room for their answers, once it is time to look again. */
static void end_stall(void)
{
    if (vm.stalled_until == 0 || g_get_monotonic_time() < vm.stalled_until)
        return;
    vm.stalled_until = 0;
    for (guint i = 0; i < G_N_ELEMENTS(vm.stalled); i++)
        vm.unrung[i] |= vm.stalled[i];
    memset(vm.stalled, 0, sizeof vm.stalled);
    vm.any_unrung = TRUE;
}

static void serve_unrung(void)
{
    if (!vm.any_unrung)
        return;
    vm.any_unrung = FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(vm.unrung); i++)
        for (; vm.unrung[i] != 0; vm.unrung[i] &= vm.unrung[i] - 1)
            serve_or_delay(64 * i + (guint)__builtin_ctzll(vm.unrung[i]), FALSE);
}

static void scribble(void)
{
    gint64 now_us = g_get_monotonic_time();

    if (now_us < vm.scribble_at)
        return;
    vm.scribble_at = now_us + SCRIBBLE_TURN_MS * G_TIME_SPAN_MILLISECOND;
    cvd_scribbler_write(&vm.scribbler, SCRIBBLE_WORDS);
    ring(cvd_scribbler_choose(&vm.scribbler, vm.window.layout.region_count));
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
    vm.unrung[region / 64] &= ~bit_of(region);
    serve_or_delay(region, TRUE);
}

static gboolean hear_server(GError **error)
{
    char bytes[64];
    gssize n = cvd_socket_receive(vm.attachment->connection, bytes, sizeof bytes, NULL, 0);

    if (n < 0 && errno == EAGAIN)
        return TRUE;
    if (n > 0) {
        g_autofree char *shown = cvd_escape_bytes(bytes, (gsize)n);
        return fail(error, "the server sent \"%s\" after the hand-over", shown);
    }
    vm.state = VM_CLOSED;
    return TRUE;
}

static gboolean dispatch(const struct epoll_event *event, GError **error)
{
    switch (event->data.u32) {
    case ID_CONNECTION:
        return hear_server(error);
    case ID_SIGNALS:
        vm.state = VM_STOPPED;
        return TRUE;
    default:
        rung(event->data.u32, event->events);
        return TRUE;
    }
}

/* Returns: for epoll_wait */
static int timeout_ms(void)
{
    if (vm.any_unrung)
        return 0;
    if (vm.options->scribbles)
        return SCRIBBLE_TURN_MS;
    gint64 due = vm.n_delayed > 0 ? vm.delayed[vm.first_delayed].due : G_MAXINT64;
    if (vm.stalled_until > 0)
        due = MIN(due, vm.stalled_until);
    if (due == G_MAXINT64)
        return -1;
    gint64 left_us = due - g_get_monotonic_time();
    return left_us <= 0 ? 0 : (int)(left_us / 1000) + 1;
}

static gboolean run(GError **error)
{
    struct epoll_event events[MAX_EVENTS];

    while (vm.state == VM_SERVING) {
        begin_round();
        int n = epoll_wait(vm.epoll_fd, events, MAX_EVENTS, timeout_ms());

        for (int i = 0; i < n && vm.state == VM_SERVING; i++)
            if (!dispatch(&events[i], error))
                return FALSE;
        end_stall();
        serve_unrung();
        serve_delayed();
        if (vm.options->scribbles)
            scribble();
    }
    return TRUE;
}

/* What the host did before anybody listened rang nobody, so every region gets a look. */
static void open_regions(void)
{
    if (!vm.options->is_mute)
        for (guint i = 0; i < vm.window.layout.region_count; i++)
            cvd_guest_signals_open(&vm.window, i, &hooks);
    if (vm.options->scribbles)
        g_message("scribbling, seed %" G_GUINT64_FORMAT, vm.options->seed);
    g_message(vm.options->is_mute ? "mute: nothing is served" : "ready");
}

gboolean cvd_vm_serve(const CvdVmAttachment *attachment, int signal_fd, const CvdVmOptions *options,
                      GError **error)
{
    vm.attachment = attachment;
    vm.options = options;
    cvd_autofd epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    vm.epoll_fd = epoll_fd;
    if (!open_window(error) || !watch(attachment->connection, EPOLLIN, ID_CONNECTION, error) ||
        !watch(signal_fd, EPOLLIN, ID_SIGNALS, error))
        return FALSE;
    if (!options->is_mute && !watch_doorbells(error))
        return FALSE;
    cvd_scribbler_init(&vm.scribbler, &vm.window, options->seed);
    open_regions();
    cvd_log_never_block();
    if (!run(error))
        return FALSE;
    g_message(vm.state == VM_CLOSED ? "the server closed the connection" : "stopped");
    if (vm.n_drops > 0)
        g_message("%" G_GUINT64_FORMAT " signals dropped", vm.n_drops);
    g_info("%" G_GUINT64_FORMAT " wake-ups served", vm.n_served);
    return TRUE;
}
