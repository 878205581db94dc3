/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is compared: cvd-launch, and QEMU with the very arguments that `cvd-launch --print-command`
 * shows, served by the smallest ivshmem server there can be. Window, doorbells and sockets of the
 * bare one are made before its clock starts, so it is as fast as QEMU itself.
 */
#include "tests/bench/subjects.h"

#include "base/fd.h"
#include "tests/support/launcher.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME "bench"

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static char *make_layout(guint n_regions)
{
    GString *text = g_string_new("{\"vsoc_device_regions\":[");

    for (guint i = 0; i < n_regions; i++)
        g_string_append_printf(text,
                               "%s{\"device_name\":\"region%u\",\"current_version\":1,"
                               "\"min_compatible_version\":1,\"region_size\":4096,"
                               "\"guest_to_host_signal_table\":{\"num_nodes_lg2\":1},"
                               "\"host_to_guest_signal_table\":{\"num_nodes_lg2\":1}}",
                               i > 0 ? "," : "", i);
    g_string_append(text, "]}");
    return g_string_free(text, FALSE);
}

#define N_SETTINGS 12
#define N_ARGS     (N_SETTINGS + 2)

static void fill_args(const Subject *subject, const char **args)
{
    const char *all[N_ARGS] = {"--set", subject->layout,
                               "--set", subject->window,
                               "--set", "window.prealloc=false",
                               "--set", "lifecycle.stop=quit",
                               "--set", "lifecycle.on_crash=restart",
                               "--set", "lifecycle.restart_delay_ms=0",
                               NULL};

    memcpy(args, all, sizeof all);
}

static char **print_command(const Subject *subject)
{
    const char *args[N_ARGS];
    int n_words;
    char **words;
    g_autoptr(GError) error = NULL;

    fill_args(subject, args);
    args[N_SETTINGS] = "--print-command";
    g_autoptr(TestProcess) launcher = test_launch_with(subject->sandbox, NAME, args, NULL, NULL);
    test_launcher_assert_exit(launcher, 0);
    g_shell_parse_argv(launcher->out->str, &n_words, &words, &error);
    g_assert_no_error(error);
    return words;
}

Subject *subject_new(guint n_regions, guint64 window_size)
{
    Subject *subject = g_new0(Subject, 1);
    g_autofree char *text = make_layout(n_regions);

    subject->sandbox = test_sandbox_new();
    g_autofree char *path = test_sandbox_write(subject->sandbox, "layout.json", text);
    subject->layout = g_strdup_printf("layout=%s", path);
    subject->window = g_strdup_printf("window.size=%" G_GUINT64_FORMAT, window_size);
    subject->n_regions = n_regions;
    subject->window_size = window_size;
    subject->qemu_argv = print_command(subject);
    return subject;
}

void subject_free(Subject *subject)
{
    test_sandbox_assert_clean(subject->sandbox, TEST_NOTHING_LEFT);
    test_sandbox_free(subject->sandbox);
    g_strfreev(subject->qemu_argv);
    g_free(subject->layout);
    g_free(subject->window);
    g_free(subject);
}

TestProcess *start_launch(const Subject *subject, double *start_ms)
{
    const char *args[N_ARGS];

    fill_args(subject, args);
    double begin_ms = now_ms();
    TestProcess *launcher = test_launch_with(subject->sandbox, NAME, args, NULL, NULL);
    test_launcher_wait_running(launcher);
    *start_ms = now_ms() - begin_ms;
    return launcher;
}

LaunchTimes time_launch(const Subject *subject)
{
    LaunchTimes times;
    g_autoptr(TestProcess) launcher = start_launch(subject, &times.start_ms);

    times.attached_ms = times.start_ms;
    double begin_ms = now_ms();
    test_process_signal(launcher, SIGINT);
    test_launcher_assert_exit(launcher, 0);
    times.stop_ms = now_ms() - begin_ms;
    return times;
}

RestartTimes time_restart(const Subject *subject)
{
    RestartTimes times;
    g_autoptr(TestProcess) launcher = start_launch(subject, &times.start_ms);
    pid_t qemu = test_launcher_find_qemu(launcher);

    double begin_ms = now_ms();
    g_assert_no_errno(kill(qemu, SIGKILL));
    test_process_wait_err(launcher, ": running after ", 2);
    times.restart_ms = now_ms() - begin_ms;
    test_process_signal(launcher, SIGINT);
    test_launcher_assert_exit(launcher, 0);
    return times;
}

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
        .window = memfd_create("bench", MFD_CLOEXEC),
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
