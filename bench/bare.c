/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cvd-launch is compared with: QEMU with the very arguments that `cvd-launch --print-command`
 * shows, served by the smallest ivshmem server there can be. Window, doorbells and sockets of the
 * bare one are made before its clock starts, so it is as fast as QEMU itself.
 */
#include "bench/subjects.h"

#include "base/fd.h"
#include "bench/values.h"
#include "tests/support/launcher.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* The bare QEMU's ends of its channels, at fixed numbers; ours beside them. */
typedef enum {
    CHANNEL_QMP,
    CHANNEL_IVSHMEM,
    CHANNEL_SERIAL,
    N_CHANNELS,
} Channel;

#define FIRST_FD 200

static const char *const channel_names[N_CHANNELS] = {"qmp", "ivshmem", "serial"};

typedef struct {
    int ours[N_CHANNELS];
    int theirs[N_CHANNELS];
} Channels;

static void pass_channels(gconstpointer data)
{
    const Channels *channels = data;

    for (guint i = 0; i < N_CHANNELS; i++)
        if (dup2(channels->theirs[i], FIRST_FD + (int)i) < 0)
            _exit(124);
}

/* What --print-command shows is to be pasted into a shell; a launch has descriptors in its place.
 */
static char **replace_channels(char **argv)
{
    char **copy = g_strdupv(argv);

    for (char **arg = copy; *arg != NULL && arg[1] != NULL; arg++)
        for (guint i = 0; i < N_CHANNELS && strcmp(*arg, "-chardev") == 0; i++) {
            g_autofree char *id = g_strdup_printf(",id=%s", channel_names[i]);
            const char *found = strstr(arg[1], id);
            if (found == NULL || (found[strlen(id)] != '\0' && found[strlen(id)] != ','))
                continue;
            g_free(arg[1]);
            arg[1] = g_strdup_printf("socket%s,fd=%d", id, FIRST_FD + (int)i);
        }
    return copy;
}

/* The whole hand-over, in order: value and descriptor of message @i. */
typedef struct {
    guint n_regions;
    int window;
    int *doorbells;
    guint n_sent;
} HandOver;

static void hand_over_init(HandOver *hand_over, const Subject *subject)
{
    *hand_over = (HandOver){
        .n_regions = subject->n_regions,
        .window = memfd_create("bench", MFD_CLOEXEC | (subject->is_huge ? MFD_HUGETLB : 0)),
        .doorbells = g_new(int, 2 * subject->n_regions),
    };
    g_assert_cmpint(ftruncate(hand_over->window, (off_t)subject->window_size), ==, 0);
    for (guint i = 0; i < 2 * subject->n_regions; i++)
        hand_over->doorbells[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void hand_over_clear(HandOver *hand_over)
{
    for (guint i = 0; i < 2 * hand_over->n_regions; i++)
        close(hand_over->doorbells[i]);
    close(hand_over->window);
    g_free(hand_over->doorbells);
}

static gboolean hand_over_is_done(const HandOver *hand_over)
{
    return hand_over->n_sent == 3 + 2 * hand_over->n_regions;
}

static void hand_over_continue(HandOver *hand_over, int socket)
{
    static const gint64 first[] = {0, 1, -1};

    for (; !hand_over_is_done(hand_over); hand_over->n_sent++) {
        guint i = hand_over->n_sent;
        gint64 value = i < 3 ? first[i] : i - 3 < hand_over->n_regions ? 0 : 1;
        int fd = i < 2 ? -1 : i == 2 ? hand_over->window : hand_over->doorbells[i - 3];
        if (cvd_socket_send(socket, &value, sizeof value, &fd, fd >= 0 ? 1 : 0) < 0) {
            g_assert_true(errno == EAGAIN || errno == ETOOMANYREFS);
            return;
        }
    }
}

/* Waits for text from QMP that has @wanted, %NULL: until all is handed over; goes on with both
 * meanwhile. */
static void wait_qmp(const Channels *channels, HandOver *hand_over, GString *text,
                     const char *wanted)
{
    char buffer[4096];

    while (wanted != NULL ? strstr(text->str, wanted) == NULL : !hand_over_is_done(hand_over)) {
        struct pollfd fds[] = {
            {.fd = channels->ours[CHANNEL_QMP], .events = POLLIN},
            {.fd = hand_over_is_done(hand_over) ? -1 : channels->ours[CHANNEL_IVSHMEM],
             .events = POLLOUT},
        };
        if (poll(fds, G_N_ELEMENTS(fds), TEST_TIMEOUT_MS) <= 0)
            g_error("the bare QEMU does not answer");
        if (fds[1].revents != 0)
            hand_over_continue(hand_over, channels->ours[CHANNEL_IVSHMEM]);
        if (fds[0].revents == 0)
            continue;
        gssize n = read(channels->ours[CHANNEL_QMP], buffer, sizeof buffer);
        if (n <= 0)
            g_error("the bare QEMU closed QMP: are its arguments still right?");
        g_string_append_len(text, buffer, n);
    }
    g_string_truncate(text, 0);
}

static void send_qmp(const Channels *channels, const char *command)
{
    g_autofree char *text =
        g_strdup_printf("{\"execute\":\"%s\",\"id\":\"%s\"}\n", command, command);

    g_assert_cmpint(write(channels->ours[CHANNEL_QMP], text, strlen(text)), ==,
                    (gssize)strlen(text));
}

LaunchTimes time_bare(const Subject *subject)
{
    LaunchTimes times;
    HandOver hand_over;
    Channels channels;
    g_autoptr(GString) text = g_string_new(NULL);
    g_auto(GStrv) argv = replace_channels(subject->qemu_argv);

    hand_over_init(&hand_over, subject);
    for (guint i = 0; i < N_CHANNELS; i++) {
        int pair[2];
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
        channels.ours[i] = pair[0];
        channels.theirs[i] = pair[1];
    }
    double begin_ms = now_ms();
    g_autoptr(TestProcess) qemu =
        test_process_start(subject->sandbox, (const char *const *)argv, pass_channels, &channels);
    for (guint i = 0; i < N_CHANNELS; i++)
        close(channels.theirs[i]);
    wait_qmp(&channels, &hand_over, text, "\"QMP\"");
    send_qmp(&channels, "qmp_capabilities");
    wait_qmp(&channels, &hand_over, text, "\"qmp_capabilities\"");
    send_qmp(&channels, "query-status");
    wait_qmp(&channels, &hand_over, text, "\"query-status\"");
    times.start_ms = now_ms() - begin_ms;
    wait_qmp(&channels, &hand_over, text, NULL);
    times.attached_ms = now_ms() - begin_ms;
    send_qmp(&channels, "cont");
    wait_qmp(&channels, &hand_over, text, "\"cont\"");
    begin_ms = now_ms();
    send_qmp(&channels, "quit");
    test_launcher_assert_exit(qemu, 0);
    times.stop_ms = now_ms() - begin_ms;
    for (guint i = 0; i < N_CHANNELS; i++)
        close(channels.ours[i]);
    hand_over_clear(&hand_over);
    return times;
}
