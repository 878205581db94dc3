/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three ways to a reader that sums up every message: a ring in a region, whose reader is the agent
 * in a guest; a stream, whose reader is the agent as well; the same ring between two processes of
 * the host. What is sent was prepared before, tag included, so that the writer only copies.
 */
#include "bench/pipes.h"

#include "base/fd.h"
#include "bench/values.h"
#include "guests/linux/ring-sink.h"
#include "tests/support/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOST_RING_BYTES (9u << 20)
#define BATCH_BYTES     (64u << 10) /* the clock is read once for so much */

struct Pipe {
    int stream; /* −1: a ring */
    struct vsoc_ring ring;
    int ring_reader; /* eventfds */
    int rung;
    pid_t reader;         /* 0: somewhere else */
    void *memory;         /* NULL: not ours */
    gboolean owns_events; /* whether the eventfds are ours */
};

Pipe *pipe_new_stream(int fd)
{
    Pipe *pipe = g_new0(Pipe, 1);

    *pipe = (Pipe){.stream = fd, .ring_reader = -1, .rung = -1};
    return pipe;
}

Pipe *pipe_new_region(const TestRegion *region)
{
    Pipe *pipe = g_new0(Pipe, 1);
    guint32 begin = region->begin + region->data_offset;

    *pipe =
        (Pipe){.stream = -1, .ring_reader = region->host_to_guest, .rung = region->guest_to_host};
    begin = (begin + VSOC_RING_ALIGN - 1) / VSOC_RING_ALIGN * VSOC_RING_ALIGN;
    g_assert_true(vsoc_ring_open(&pipe->ring, region->map + begin, region->end - begin));
    vsoc_ring_clear(&pipe->ring);
    return pipe;
}

static void ring(int fd)
{
    const guint64 one = 1;

    g_assert_cmpint(write(fd, &one, sizeof one), ==, sizeof one);
}

static void ring_writer(void *data)
{
    ring(*(int *)data);
}

static void become_reader(Pipe *pipe)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    cvd_agent_ring_sink(&pipe->ring, pipe->ring_reader, ring_writer, &pipe->rung);
    g_error("the ring is broken");
}

Pipe *pipe_new_host(void)
{
    Pipe *pipe = g_new0(Pipe, 1);

    *pipe = (Pipe){.stream = -1,
                   .ring_reader = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                   .rung = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                   .owns_events = TRUE};
    pipe->memory =
        mmap(NULL, HOST_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(pipe->memory != MAP_FAILED);
    g_assert_true(vsoc_ring_open(&pipe->ring, pipe->memory, HOST_RING_BYTES));
    pipe->reader = fork();
    if (pipe->reader == 0)
        become_reader(pipe);
    return pipe;
}

void pipe_free(Pipe *pipe)
{
    if (pipe->reader > 0) {
        kill(pipe->reader, SIGKILL);
        waitpid(pipe->reader, NULL, 0);
    }
    if (pipe->memory != NULL)
        munmap(pipe->memory, HOST_RING_BYTES);
    if (pipe->owns_events) {
        cvd_close_fd(&pipe->ring_reader);
        cvd_close_fd(&pipe->rung);
    }
    g_free(pipe);
}

typedef struct {
    const void *bytes;
    guint32 length;
    guint32 tag;
} Message;

typedef enum vsoc_ring_result (*RingStep)(Pipe *pipe, const Message *message);

static enum vsoc_ring_result put(Pipe *pipe, const Message *message)
{
    return vsoc_ring_put(&pipe->ring, message->bytes, message->length, message->tag);
}

static enum vsoc_ring_result flushed(Pipe *pipe, const Message *message)
{
    return vsoc_ring_flushed(&pipe->ring);
}

/* Until it is done: looks for a while, then sleeps, as the reader does. */
static void do_step(Pipe *pipe, RingStep step, const Message *message)
{
    enum vsoc_ring_result result;

    for (guint n = 1; (result = step(pipe, message)) == VSOC_RING_NOT_YET; n++) {
        if (n % CVD_AGENT_RING_SPINS != 0)
            continue;
        vsoc_ring_await_room(&pipe->ring);
        result = step(pipe, message);
        if (result != VSOC_RING_NOT_YET)
            break;
        test_wait_readable(pipe->rung, "the reader of the ring");
        g_assert_cmpint(cvd_agent_ring_wait_rung(pipe->rung), ==, 0);
    }
    if (result == VSOC_RING_BROKEN)
        g_error("the reader has broken the ring");
}

static void write_all(int fd, const Message *message)
{
    guint32 header[] = {message->length, message->tag};
    struct iovec pieces[] = {{header, sizeof header}, {(void *)message->bytes, message->length}};
    gsize total = sizeof header + message->length;
    gssize n = writev(fd, pieces, G_N_ELEMENTS(pieces));

    for (gsize done = 0; n > 0 && (done += (gsize)n) < total;) {
        gsize in_bytes = done - MIN(done, sizeof header);
        n = done < sizeof header
                ? write(fd, (char *)header + done, sizeof header - done)
                : write(fd, (const char *)message->bytes + in_bytes, message->length - in_bytes);
    }
    if (n <= 0)
        g_error("the guest cannot be reached: %s", g_strerror(errno));
}

static void send_message(Pipe *pipe, const Message *message)
{
    if (pipe->stream >= 0) {
        write_all(pipe->stream, message);
        return;
    }
    do_step(pipe, put, message);
    if (vsoc_ring_must_wake_reader(&pipe->ring))
        ring(pipe->ring_reader);
}

static struct vsoc_ring_account end_series(Pipe *pipe)
{
    const Message end = {"", 0, 0};
    struct vsoc_ring_account account;

    send_message(pipe, &end);
    if (pipe->stream < 0) {
        do_step(pipe, flushed, NULL);
        return vsoc_ring_get_account(&pipe->ring);
    }
    for (gsize done = 0; done < sizeof account;) {
        test_wait_readable(pipe->stream, "the reader of the stream");
        gssize n = read(pipe->stream, (char *)&account + done, sizeof account - done);
        if (n <= 0)
            g_error("the guest does not account for what it got");
        done += (gsize)n;
    }
    return account;
}

static void *make_bytes(guint size)
{
    guint32 *words = g_malloc(size + sizeof *words);

    for (guint i = 0; i <= size / sizeof *words; i++)
        words[i] = g_random_int();
    return words;
}

double pipe_measure(Pipe *pipe, guint size, guint slice_ms)
{
    g_autofree void *bytes = make_bytes(size);
    const Message message = {bytes, size, vsoc_ring_sum_tag(vsoc_ring_sum(0, bytes, size))};
    guint batch = MAX(BATCH_BYTES / size, 1);
    guint64 n = 0;
    double begin = now_us();

    do {
        for (guint i = 0; i < batch; i++)
            send_message(pipe, &message);
        n += batch;
    } while (now_us() - begin < slice_ms * 1e3);
    struct vsoc_ring_account account = end_series(pipe);
    double seconds = (now_us() - begin) / 1e6;
    if (account.messages != n || account.wrong != 0)
        g_error("of %" G_GUINT64_FORMAT " messages of %u bytes %" G_GUINT64_FORMAT
                " arrived, %" G_GUINT64_FORMAT " of them wrong",
                n, size, account.messages, account.wrong);
    return (double)n * size / (1 << 20) / seconds;
}
