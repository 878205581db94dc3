/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand-over to the VM: from connect to the last descriptor, by the plainest receiver that there
 * can be, of `cvd-launch --serve-only`, and of a server that has the same descriptors ready and
 * does nothing but send them, with blocking calls. A receiver is a process of its own, since a VM's
 * place is free again only when its process has gone.
 */
#include "bench/groups.h"
#include "bench/subjects.h"
#include "bench/values.h"
#include "tests/support/launcher.h"
#include "tests/support/region.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME         "handover"
#define WINDOW_BYTES (16u << 20)
#define N_FIRST      3 /* messages before the doorbells */

/* One message and what comes with it, by a call that blocks. */
static gssize receive(int socket, gint64 *value, int *fd)
{
    char control[CMSG_SPACE(sizeof *fd)];
    struct iovec piece = {value, sizeof *value};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    gssize n = recvmsg(socket, &message, MSG_WAITALL | MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

    *fd = -1;
    if (header != NULL)
        memcpy(fd, CMSG_DATA(header), sizeof *fd);
    return n;
}

/* In a process that ends after it, by which all that came is closed. */
static void receive_all(const char *path, guint n_regions, int result)
{
    double begin = now_ms();
    int socket = test_connect(path);
    guint n_fds = 0;

    for (guint i = 0; i < N_FIRST + 2 * n_regions; i++) {
        gint64 value;
        int fd;
        if (receive(socket, &value, &fd) != sizeof value)
            g_error("%s: the hand-over of %u regions ended at message %u", path, n_regions, i);
        n_fds += fd >= 0;
    }
    double ms = now_ms() - begin;
    g_assert_cmpuint(n_fds, ==, 1 + 2 * n_regions);
    g_assert_cmpint(write(result, &ms, sizeof ms), ==, sizeof ms);
    _exit(0);
}

static double time_receiver(const char *path, guint n_regions)
{
    int ends[2], status;
    double ms = 0;

    g_assert_no_errno(pipe2(ends, O_CLOEXEC));
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        receive_all(path, n_regions, ends[1]);
    }
    cvd_close_fd(&ends[1]);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (status != 0 || read(ends[0], &ms, sizeof ms) != sizeof ms)
        g_error("%s: no hand-over of %u regions", path, n_regions);
    cvd_close_fd(&ends[0]);
    return ms;
}

static void send_blocking(int socket, gint64 value, int fd)
{
    char control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec piece = {&value, sizeof value};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
        g_assert_true(errno == ETOOMANYREFS || errno == EINTR);
}

/* The baseline. */
static void serve_minimal(int listener, guint n_regions)
{
    g_autofree int *doorbells = g_new(int, 2 * n_regions);
    int window = memfd_create("baseline", MFD_CLOEXEC);
    char byte;

    g_assert_no_errno(ftruncate(window, WINDOW_BYTES));
    for (guint i = 0; i < 2 * n_regions; i++)
        doorbells[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (;;) {
        cvd_autofd socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        send_blocking(socket, 0, -1);
        send_blocking(socket, 1, -1);
        send_blocking(socket, -1, window);
        for (guint i = 0; i < 2 * n_regions; i++)
            send_blocking(socket, i < n_regions ? 0 : 1, doorbells[i]);
        if (read(socket, &byte, 1) != 0)
            g_error("the receiver has sent something");
    }
}

static pid_t start_minimal(const char *path, guint n_regions)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cvd_autofd listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    g_assert_no_errno(bind(listener, (struct sockaddr *)&address, sizeof address));
    g_assert_no_errno(listen(listener, 1));
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve_minimal(listener, n_regions);
    }
    return pid;
}

typedef struct {
    Subject *subject;
    TestProcess *launcher;
    char *vm_socket;
    char *client_socket;
    char *minimal_socket;
    pid_t minimal;
    guint n_vms;
} Servers;

static void servers_start(Servers *servers, guint n_regions, const char *accel)
{
    Subject *subject = subject_new(n_regions, WINDOW_BYTES, accel, FALSE);
    const char *args[] = {"--serve-only", "--set", subject->layout, NULL};

    *servers = (Servers){
        .subject = subject,
        .launcher = test_launch_with(subject->sandbox, NAME, args, NULL, NULL),
        .vm_socket = test_sandbox_instance_path(subject->sandbox, NAME, "vm.sock"),
        .client_socket = test_sandbox_instance_path(subject->sandbox, NAME, "client.sock"),
        .minimal_socket = test_sandbox_path(subject->sandbox, "minimal.sock"),
    };
    test_process_wait_err(servers->launcher, "serving", 1);
    servers->minimal = start_minimal(servers->minimal_socket, n_regions);
}

static void servers_stop(Servers *servers)
{
    kill(servers->minimal, SIGKILL);
    waitpid(servers->minimal, NULL, 0);
    unlink(servers->minimal_socket);
    test_launcher_stop(servers->launcher, SIGINT);
    test_process_free(servers->launcher);
    subject_free(servers->subject);
    g_free(servers->vm_socket);
    g_free(servers->client_socket);
    g_free(servers->minimal_socket);
}

/* The window is made like new for the next VM; after that, not before, the server answers again. */
static double time_launcher(Servers *servers, guint n_regions)
{
    double ms = time_receiver(servers->vm_socket, n_regions);

    test_process_wait_err(servers->launcher, "VM detached", ++servers->n_vms);
    g_autoptr(GPtrArray) names = test_list_regions(servers->client_socket);
    g_assert_cmpuint(names->len, ==, n_regions);
    return ms;
}

/* One for nothing first, to warm up. */
static void measure(guint n_regions, const BenchOptions *options, GArray *ours, GArray *minimal)
{
    Servers servers;

    servers_start(&servers, n_regions, options->accel);
    for (int i = -1; i < options->n_rounds; i++) {
        double ms[2];
        figure_progress("hand-over of %u regions: round %d of %d", n_regions, i + 1,
                        options->n_rounds);
        for (int k = 0; k < 2; k++) {
            gboolean is_ours = (k + i) % 2 == 0;
            ms[is_ours] = is_ours ? time_launcher(&servers, n_regions)
                                  : time_receiver(servers.minimal_socket, n_regions);
        }
        if (i < 0)
            continue;
        g_array_append_val(ours, ms[TRUE]);
        g_array_append_val(minimal, ms[FALSE]);
    }
    servers_stop(&servers);
}

static void report(guint n_regions, GArray *ours, GArray *minimal)
{
    g_autoptr(GArray) ratio = figure_combine(ours, minimal, '/');
    g_autofree char *minimal_key = g_strdup_printf("handover_%u_minimal_ms", n_regions);
    g_autofree char *ours_key = g_strdup_printf("handover_%u_ms", n_regions);
    g_autofree char *ratio_key = g_strdup_printf("handover_%u_ratio", n_regions);
    g_autofree char *minimal_text = g_strdup_printf("%u regions: minimal server", n_regions);
    g_autofree char *ours_text = g_strdup_printf("%u regions: cvd-launch", n_regions);
    g_autofree char *ratio_text =
        g_strdup_printf("hand-over, %u regions: cvd-launch / minimal server", n_regions);

    figure_report(minimal_key, minimal_text, minimal, "ms", FIGURE_PLAIN, 0);
    figure_report(ours_key, ours_text, ours, "ms", FIGURE_PLAIN, 0);
    figure_report(ratio_key, ratio_text, ratio, "", FIGURE_PLAIN, 0);
}

static void add_point(GArray *curve, guint n_regions, GArray *values)
{
    CurvePoint point = {n_regions, figure_quantile(values, 0.5)};

    g_array_append_val(curve, point);
}

static void measure_and_report(guint n_regions, const BenchOptions *options, GArray *ours_curve,
                               GArray *minimal_curve)
{
    g_autoptr(GArray) ours = figure_values();
    g_autoptr(GArray) minimal = figure_values();

    measure(n_regions, options, ours, minimal);
    report(n_regions, ours, minimal);
    add_point(ours_curve, n_regions, ours);
    add_point(minimal_curve, n_regions, minimal);
}

void bench_handover(const BenchOptions *options)
{
    static const guint counts[] = {4, 64, 512, 2048};
    g_autoptr(GArray) ours = g_array_new(FALSE, FALSE, sizeof(CurvePoint));
    g_autoptr(GArray) minimal = g_array_new(FALSE, FALSE, sizeof(CurvePoint));
    struct rlimit limit;

    figure_section("Hand-over to the VM");
    g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &limit));
    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
        if (limit.rlim_cur < 2 * counts[i] + 64)
            figure_skip("hand-over", "%u regions need more than %lu descriptors", counts[i],
                        (gulong)limit.rlim_cur);
        else
            measure_and_report(counts[i], options, ours, minimal);
    }
    curve_report(CURVE_HAND_OVER, "handover", "cvd-launch", ours);
    curve_report(CURVE_HAND_OVER, "handover_minimal", "minimal server", minimal);
}
