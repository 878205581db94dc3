/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/talk.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static GPtrArray *log_lines;

CvdLayout *test_layout_new(guint n)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
    g_autoptr(GPtrArray) problems =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);

    for (guint i = 0; i < n; i++) {
        CvdRegionSpec *region = cvd_layout_spec_add_region(spec);
        region->name = g_strdup_printf("region%u", i);
        region->size = 4096;
    }
    CvdLayout *layout = cvd_layout_new(spec, problems);
    g_assert_nonnull(layout);
    return layout;
}

int test_window_new(const CvdLayout *layout)
{
    int fd = memfd_create("test-window", MFD_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, layout->window_size), ==, 0);
    return fd;
}

CvdServed test_served(const CvdLayout *layout, const CvdDoorbells *doorbells, int window_fd,
                      const CvdAccessRules *access)
{
    return (CvdServed){
        .layout = layout,
        .doorbells = doorbells,
        .window_fd = window_fd,
        .read_only_window_fd = -1,
        .access = access,
        .version_reply = VSOC_WIRE_VERSION_REPLY,
    };
}

static GLogWriterOutput keep_line(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
                                  gpointer data)
{
    g_autoptr(GString) line = g_string_new(NULL);

    if (level & G_LOG_LEVEL_DEBUG)
        return G_LOG_WRITER_HANDLED;
    for (gsize i = 0; i < n_fields; i++)
        if (strcmp(fields[i].key, "MESSAGE") == 0 || g_str_has_prefix(fields[i].key, "CVD_"))
            g_string_append_printf(line, "%s=%s\n", fields[i].key, (const char *)fields[i].value);
    g_ptr_array_add(log_lines, g_strdup(line->str));
    return G_LOG_WRITER_HANDLED;
}

void test_log_capture(void)
{
    g_assert_null(log_lines);
    log_lines = g_ptr_array_new_with_free_func(g_free);
    g_log_set_writer_func(keep_line, NULL, NULL);
}

guint test_log_count(const char *part)
{
    guint n = 0;

    for (guint i = 0; i < log_lines->len; i++)
        if (strstr(log_lines->pdata[i], part) != NULL)
            n++;
    return n;
}

void test_log_forget(void)
{
    g_ptr_array_set_size(log_lines, 0);
}

guint test_count_fds(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint n = 0;

    g_assert_nonnull(dir);
    while (g_dir_read_name(dir) != NULL)
        n++;
    return n - 1; /* that of the directory itself */
}

gboolean test_may_lower_fd_limit(void)
{
    const char *preload = g_getenv("LD_PRELOAD");

    if (preload == NULL || strstr(preload, "vgpreload") == NULL)
        return TRUE;
    g_test_skip("valgrind keeps RLIMIT_NOFILE to itself");
    return FALSE;
}

gboolean test_is_doorbell(int fd, int doorbell)
{
    guint64 value = 1;

    if (write(fd, &value, sizeof value) != sizeof value)
        return FALSE;
    return read(doorbell, &value, sizeof value) == sizeof value && value == 1;
}

gboolean test_is_window(int fd, int window)
{
    static guint32 mark;
    guint32 seen = 0;
    struct stat a, b;

    mark++;
    return pwrite(fd, &mark, sizeof mark, 64) == sizeof mark &&
           pread(window, &seen, sizeof seen, 64) == sizeof seen && seen == mark &&
           fstat(fd, &a) == 0 && fstat(window, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

void test_assert_read_only(int fd)
{
    struct stat st;
    char byte = 0;

    g_assert_no_errno(fstat(fd, &st));
    gsize size = (gsize)st.st_blksize; /* a page, or a huge one */
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    g_assert_true(map != MAP_FAILED);
    g_assert_cmpint(mprotect(map, size, PROT_READ | PROT_WRITE), ==, -1);
    g_assert_cmpint(errno, ==, EACCES);
    g_assert_cmpint(madvise(map, size, MADV_REMOVE), ==, -1);
    g_assert_cmpint(errno, ==, EACCES);
    munmap(map, size);
    g_assert_true(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    g_assert_cmpint(errno, ==, EACCES);
    g_assert_cmpint(pwrite(fd, &byte, 1, 0), ==, -1);
    g_assert_cmpint(ftruncate(fd, 0), ==, -1);
    g_assert_cmpint(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)size), ==,
                    -1);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), ==, -1);
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    g_assert_cmpuint(strlen(path), <, sizeof address.sun_path);
    strcpy(address.sun_path, path);
    return address;
}

gboolean test_mount_tmpfs(const char *directory, const char *options)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == 0 &&
           mount("tmpfs", directory, "tmpfs", 0, options) == 0;
}

int test_listen(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, SOMAXCONN), ==, 0);
    return fd;
}

int test_connect(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

void test_send(int peer, const void *bytes, gsize size, int fd)
{
    g_assert_cmpint(cvd_socket_send(peer, bytes, size, &fd, fd >= 0 ? 1 : 0), ==, (gssize)size);
}

static gssize receive(GMainContext *context, int peer, void *bytes, gsize size, int *fd)
{
    for (;;) {
        gssize n = cvd_socket_receive(peer, bytes, size, fd, 1);
        if (n >= 0 || errno != EAGAIN || context == NULL)
            return n;
        g_main_context_iteration(context, TRUE);
    }
}

int test_receive(GMainContext *context, int peer, void *bytes, gsize size)
{
    int all = -1;
    gsize done = 0;

    while (done < size) {
        int fd = -1;
        gssize n = receive(context, peer, (char *)bytes + done, size - done, &fd);
        g_assert_cmpint(n, >, 0);
        done += (gsize)n;
        g_assert_true(fd < 0 || all < 0);
        if (fd >= 0)
            all = fd;
    }
    return all;
}

void test_expect(GMainContext *context, int peer, const char *text)
{
    gsize size = strlen(text);
    g_autofree char *bytes = g_malloc0(size + 1);

    g_assert_cmpint(test_receive(context, peer, bytes, size), ==, -1);
    g_assert_cmpstr(bytes, ==, text);
}

void test_expect_end(GMainContext *context, int peer)
{
    char byte;
    int fd;

    g_assert_cmpint(receive(context, peer, &byte, 1, &fd), ==, 0);
}

static void on_attached(gpointer owner, CvdClientSession *session, const char *region)
{
    TestTalk *talk = owner;

    g_assert_cmpint(session->pid, ==, getpid());
    g_string_append_printf(talk->events, "A(%s)", region);
}

static void on_closing(gpointer owner, CvdClientSession *session)
{
    TestTalk *talk = owner;

    g_assert_cmpint(session->fd, >=, 0);
    g_string_append_c(talk->events, 'C');
}

TestTalk *test_talk_new(CvdDialect dialect, guint n_regions)
{
    TestTalk *talk = g_new0(TestTalk, 1);
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), ==, 0);
    talk->layout = test_layout_new(n_regions);
    talk->doorbells = cvd_doorbells_new(n_regions, NULL);
    g_assert_nonnull(talk->doorbells);
    talk->window_fd = test_window_new(talk->layout);
    talk->access = cvd_access_rules_new_default();
    talk->events = g_string_new(NULL);
    talk->now_us = 1000;
    talk->service = (CvdClientService){
        .served = test_served(talk->layout, talk->doorbells, talk->window_fd, talk->access),
        .timeout_us = TEST_TIMEOUT_US,
        .attached = on_attached,
        .closing = on_closing,
        .owner = talk,
    };
    talk->peer = fds[1];
    cvd_client_session_init(&talk->session, &talk->service, fds[0], dialect, talk->now_us);
    test_talk_run(talk);
    return talk;
}

void test_talk_free(TestTalk *talk)
{
    cvd_client_session_close(&talk->session);
    cvd_close_fd(&talk->peer);
    cvd_close_fd(&talk->window_fd);
    cvd_doorbells_free(talk->doorbells);
    cvd_access_rules_unref(talk->access);
    cvd_layout_unref(talk->layout);
    g_string_free(talk->events, TRUE);
    g_free(talk);
}

CvdSessionWants test_talk_run(TestTalk *talk)
{
    CvdSessionWants wants;
    int n_unread;

    do {
        n_unread = 0;
        wants = cvd_client_session_run(&talk->session, talk->now_us);
        if (wants == CVD_SESSION_WANTS_INPUT)
            ioctl(talk->session.fd, FIONREAD, &n_unread);
    } while (n_unread > 0);
    return wants;
}

CvdSessionWants test_talk_say(TestTalk *talk, const void *bytes, gsize size)
{
    if (size > 0)
        test_send(talk->peer, bytes, size, -1);
    return test_talk_run(talk);
}

void test_talk_hear(TestTalk *talk, const char *text)
{
    test_expect(NULL, talk->peer, text);
}

void test_talk_hear_region(TestTalk *talk, guint region)
{
    const CvdLayoutRegion *r = &talk->layout->regions[region];
    g_autofree char *offsets = g_strdup_printf("0x%08x0x%08x", r->begin, r->end);
    char zeros[8], expected[8] = {0};

    test_talk_hear(talk, offsets);
    for (guint i = 0; i < 3; i++) {
        /* More room than a message has: descriptors of two are never had in one call. */
        cvd_autofd fd = test_receive(NULL, talk->peer, zeros, sizeof zeros);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpmem(zeros, sizeof zeros, expected, sizeof expected);
        if (i == 0)
            g_assert_true(
                test_is_doorbell(fd, cvd_doorbells_get_guest_to_host(talk->doorbells, region)));
        else if (i == 1)
            g_assert_true(
                test_is_doorbell(fd, cvd_doorbells_get_host_to_guest(talk->doorbells, region)));
        else
            g_assert_true(test_is_window(fd, talk->window_fd));
    }
}

void test_with_low_fd_limit(void (*run)(void))
{
    if (!test_may_lower_fd_limit())
        return;

    int status;
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0)
        run();
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}
