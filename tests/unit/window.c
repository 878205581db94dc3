/* SPDX-License-Identifier: Apache-2.0 */
/* The shared-memory object: the window's specification, sections 1 and 4. */
#include "server/window.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/layout-private.h"
#include "server/shm-name.h"
#include "tests/unit/child.h"
#include "tests/unit/layout-spec.h"
#include "tests/unit/talk.h"
#include "vsoc/window.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB            (1024 * 1024)
#define WINDOW_SIZE    0x8000
#define NR_HUGEPAGES   "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define FREE_HUGEPAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
#define RACE_ROUNDS    100
#define NOBODY         65534

/*
 * By hand, from section 2: 16 + 3 × 60 = 196 bytes of descriptors, so the first region starts at
 * 0x1000. alpha: tables of 4 and 2 slots: 16 bytes, word at 16, 8 bytes from 20, word at 28, data
 * from 32. beta and gamma: one slot each: word at 4, slot at 8, word at 12, data from 16. They end
 * at 0x6000; the next power of two is 0x8000.
 */
static const guchar expected[] = {
    2,
    0,
    0,
    0,
    0x00,
    0x80,
    0,
    0,
    3,
    0,
    0,
    0,
    16,
    0,
    0,
    0,
    /* alpha */
    3,
    0,
    2,
    0,
    0x00,
    0x10,
    0,
    0,
    0x00,
    0x30,
    0,
    0,
    32,
    0,
    0,
    0,
    2,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    16,
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    20,
    0,
    0,
    0,
    28,
    0,
    0,
    0,
    'a',
    'l',
    'p',
    'h',
    'a',
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    /* beta */
    0,
    0,
    0,
    0,
    0x00,
    0x30,
    0,
    0,
    0x00,
    0x40,
    0,
    0,
    16,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    4,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    8,
    0,
    0,
    0,
    12,
    0,
    0,
    0,
    'b',
    'e',
    't',
    'a',
    '-',
    '1',
    '2',
    '3',
    '4',
    '5',
    '6',
    '7',
    '8',
    '9',
    '0',
    0,
    0,
    0,
    0,
    0,
    /* gamma, managed by region 1 */
    0xff,
    0xff,
    0,
    0,
    0x00,
    0x40,
    0,
    0,
    0x00,
    0x60,
    0,
    0,
    16,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    4,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    8,
    0,
    0,
    0,
    12,
    0,
    0,
    0,
    'g',
    'a',
    'm',
    'm',
    'a',
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    1,
    0,
    0,
    0,
};

static CvdLayout *small_layout(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
    test_add_whole_region(spec, "alpha", 8192, 3, 2, 2, 1);
    test_add_region(spec, "beta-1234567890", 4096);
    CvdRegionSpec *gamma = test_add_region(spec, "gamma", 8192);
    gamma->current_version = 0xffff;
    gamma->managed_by = g_strdup("beta-1234567890");
    gamma->is_exclusive = TRUE; /* of which the window says nothing */
    return test_compute_layout(spec);
}

static CvdLayout *layout_of_size(gint64 size, guint64 granule)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
    test_add_region(spec, "region", (gint64)granule);
    spec->granule = granule;
    spec->min_window_size = size;
    return test_compute_layout(spec);
}

typedef struct {
    char *directory;
    char *path;
    CvdLayout *layout;
    CvdWindowOptions named;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->directory = g_strdup("/dev/shm/cvd-test-XXXXXX");
    g_assert_nonnull(g_mkdtemp(f->directory));
    f->path = g_build_filename(f->directory, "ivshmem", NULL);
    f->layout = small_layout();
    f->named = (CvdWindowOptions){.backing = CVD_WINDOW_POSIX_SHM, .path = f->path};
    test_log_forget();
}

/* Fails when anything is left in the directory. */
static void tear_down(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(rmdir(f->directory), ==, 0);
    cvd_layout_unref(f->layout);
    g_free(f->directory);
    g_free(f->path);
}

static void assert_contents(const CvdWindow *window, const guchar *contents)
{
    g_autofree guchar *found = g_malloc(WINDOW_SIZE);
    g_assert_cmpint(pread(cvd_window_get_fd(window), found, WINDOW_SIZE, 0), ==, WINDOW_SIZE);
    g_assert_cmpmem(found, WINDOW_SIZE, contents, WINDOW_SIZE);
}

static guchar *fresh_contents(void)
{
    guchar *contents = g_malloc0(WINDOW_SIZE);
    memcpy(contents, expected, sizeof expected);
    return contents;
}

/* The rules that a layout is made by and those that its readers have are the same. */
static void assert_is_believed(const CvdLayout *layout, const void *descriptors, gsize size)
{
    static struct vsoc_window opened;
    g_autofree guint8 *window = g_malloc0(layout->window_size);
    struct vsoc_fault fault = {.rule = ""};

    memcpy(window, descriptors, size);
    vsoc_window_open(&opened, window, layout->window_size, layout->n_regions, &fault);
    g_assert_cmpstr(fault.rule, ==, "");
    for (guint i = 0; i < layout->n_regions; i++)
        g_assert_cmpint(vsoc_window_find(&opened, layout->regions[i].name), ==, i);
}

static void test_descriptors(void)
{
    g_autoptr(CvdLayout) layout = small_layout();
    g_autoptr(GBytes) bytes = cvd_layout_get_descriptors(layout);
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    g_assert_cmpmem(data, size, expected, sizeof expected);
    assert_is_believed(layout, data, size);
}

static void test_descriptors_elsewhere(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
    test_add_region(spec, "x", 4096);
    spec->region_desc_offset = 20;
    g_autoptr(CvdLayout) layout = test_compute_layout(spec);
    g_autoptr(GBytes) bytes = cvd_layout_get_descriptors(layout);
    gsize size;
    const guchar *data = g_bytes_get_data(bytes, &size);

    g_assert_cmpuint(size, ==, 20 + 60);
    g_assert_cmpmem(data + 12, 8, "\x14\0\0\0\0\0\0\0", 8);
    g_assert_cmpuint(data[20 + 40], ==, 'x');
    assert_is_believed(layout, data, size);
}

static void test_seals(void)
{
    g_autoptr(CvdLayout) layout = small_layout();
    g_autoptr(CvdWindow) window = cvd_window_new(layout, &(CvdWindowOptions){0}, NULL);
    g_assert_nonnull(window);
    int fd = cvd_window_get_fd(window);
    struct stat st;

    g_assert_cmpint(ftruncate(fd, WINDOW_SIZE / 2), ==, -1);
    g_assert_cmpint(errno, ==, EPERM);
    g_assert_cmpint(ftruncate(fd, WINDOW_SIZE * 2), ==, -1);
    g_assert_cmpint(errno, ==, EPERM);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), ==, -1);
    g_assert_cmpint(errno, ==, EPERM);
    g_assert_cmpint(fstat(fd, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
    g_assert_cmpint(st.st_size, ==, WINDOW_SIZE);
    g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    /* Writable memory for those who get it. */
    void *memory = mmap(NULL, WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(memory != MAP_FAILED);
    munmap(memory, WINDOW_SIZE);
}

static gint64 allocated_bytes(const CvdWindow *window)
{
    struct stat st;
    g_assert_cmpint(fstat(cvd_window_get_fd(window), &st), ==, 0);
    return (gint64)st.st_blocks * 512;
}

/* Written all over, then reset, then renewed. The word that says ready is the last of its page. */
static void check_life(const CvdLayout *layout, const CvdWindowOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdWindow) window = cvd_window_new((CvdLayout *)layout, options, &error);
    g_assert_no_error(error);
    g_autofree guchar *contents = fresh_contents();
    assert_contents(window, contents);
    gint64 fresh_size = allocated_bytes(window);
    g_assert_cmpint(fresh_size, ==, options->prealloc ? WINDOW_SIZE : 4096);

    memset(contents + 0x1000, 0xaa, WINDOW_SIZE - 0x1000);
    contents[0xffc] = 1;
    int fd = cvd_window_get_fd(window);
    g_assert_false(cvd_window_says_ready(window));
    g_assert_cmpint(pwrite(fd, contents, WINDOW_SIZE, 0), ==, WINDOW_SIZE);
    g_assert_true(cvd_window_says_ready(window));
    g_assert_cmpint(pwrite(fd, "\xaa\xaa\xaa\xaa", 4, 0), ==, 4); /* the layout's version */
    g_assert_true(cvd_window_reset_signals(window, &error));
    g_assert_false(cvd_window_says_ready(window));
    contents[0xffc] = 0;
    memset(contents + 0x1000, 0, 32);
    memset(contents + 0x3000, 0, 16);
    memset(contents + 0x4000, 0, 16);
    assert_contents(window, contents);

    memset(contents, 0xbb, WINDOW_SIZE);
    g_assert_cmpint(pwrite(fd, contents, WINDOW_SIZE, 0), ==, WINDOW_SIZE);
    g_assert_false(cvd_window_says_ready(window));
    g_assert_true(cvd_window_renew(window, &error));
    g_autofree guchar *fresh = fresh_contents();
    assert_contents(window, fresh);
    g_assert_cmpint(allocated_bytes(window), ==, fresh_size);
}

static void test_life(Fixture *f, gconstpointer data)
{
    for (int prealloc = 0; prealloc < 2; prealloc++) {
        CvdWindowOptions anonymous = {.prealloc = prealloc};
        check_life(f->layout, &anonymous);
        f->named.prealloc = prealloc;
        check_life(f->layout, &f->named);
    }
}

/* Tables of many pages: holes in the middle, parts of pages at the ends; zeros in many calls. */
static void test_reset_of_large_tables(void)
{
    for (int prealloc = 0; prealloc < 2; prealloc++) {
        g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
        CvdRegionSpec *region = test_add_region(spec, "large", MIB);
        region->guest_to_host_nodes_lg2 = 16;
        region->host_to_guest_nodes_lg2 = 16;
        g_autoptr(CvdLayout) layout = test_compute_layout(spec);
        CvdWindowOptions options = {.prealloc = prealloc};
        g_autoptr(CvdWindow) window = cvd_window_new(layout, &options, NULL);
        const gsize tables = 2 * (65536 * 4 + 4);
        g_autofree guchar *bytes = g_malloc(MIB);
        int fd = cvd_window_get_fd(window);

        memset(bytes, 0xaa, MIB);
        g_assert_cmpint(pwrite(fd, bytes, MIB, 4096), ==, MIB);
        g_assert_true(cvd_window_reset_signals(window, NULL));
        g_assert_cmpint(pread(fd, bytes, MIB, 4096), ==, MIB);
        for (gsize i = 0; i < MIB; i++)
            g_assert_cmpuint(bytes[i], ==, i < tables ? 0 : 0xaa);
        g_assert_true((allocated_bytes(window) >= 2 * MIB) == (prealloc != 0));
    }
}

static void test_named(Fixture *f, gconstpointer data)
{
    mode_t saved = umask(0777);
    g_autoptr(CvdWindow) window = cvd_window_new(f->layout, &f->named, NULL);
    umask(saved);
    g_assert_nonnull(window);
    struct stat by_name, by_fd;
    g_assert_cmpint(lstat(f->path, &by_name), ==, 0);
    g_assert_cmpint(fstat(cvd_window_get_fd(window), &by_fd), ==, 0);
    g_assert_cmpuint(by_name.st_ino, ==, by_fd.st_ino);
    g_assert_cmpuint(by_name.st_mode, ==, S_IFREG | 0600);
    g_assert_cmpint(by_name.st_size, ==, WINDOW_SIZE);
    g_assert_cmpuint(test_log_count(f->path), ==, 0);
}

static void test_truncated_by_another(Fixture *f, gconstpointer data)
{
    g_autoptr(CvdWindow) window = cvd_window_new(f->layout, &f->named, NULL);
    g_autofree guchar *fresh = fresh_contents();

    g_assert_cmpint(truncate(f->path, 0), ==, 0);
    g_assert_true(cvd_window_reset_signals(window, NULL));
    assert_contents(window, fresh);
    g_assert_cmpuint(test_log_count(f->path), ==, 1);
    g_assert_cmpint(truncate(f->path, 1), ==, 0);
    g_assert_true(cvd_window_renew(window, NULL));
    assert_contents(window, fresh);
    /* Again and again, whoever does it: that is not for the log. */
    for (guint i = 0; i < 10 * CVD_LOG_LINES_PER_SECOND; i++) {
        g_assert_cmpint(truncate(f->path, 0), ==, 0);
        g_assert_true(cvd_window_reset_signals(window, NULL));
    }
    g_assert_cmpuint(test_log_count(f->path), <=, 3 * CVD_LOG_LINES_PER_SECOND);
}

static void assert_refused(const Fixture *f, CvdError code, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdWindow) window = cvd_window_new(f->layout, &f->named, &error);
    g_assert_null(window);
    g_assert_error(error, CVD_ERROR, (int)code);
    g_assert_nonnull(strstr(error->message, f->named.path));
    g_assert_nonnull(strstr(error->message, part));
}

/* As for a report, or of one that a client passed back. */
static void close_other_descriptors(const CvdWindow *window)
{
    g_assert_no_errno(close(cvd_window_open_read_only(window, NULL)));
    g_assert_no_errno(close(dup(cvd_window_get_fd(window))));
}

/* A process that makes the named window, passes it to @peer if that is not −1, and stays. */
static pid_t start_owner(const Fixture *f, int peer)
{
    int ready[2];
    g_assert_cmpint(pipe2(ready, O_CLOEXEC), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        CvdWindow *window = cvd_window_new(f->layout, &f->named, NULL);
        int fd = window != NULL ? cvd_window_get_fd(window) : -1;
        if (window != NULL)
            close_other_descriptors(window);
        if (window != NULL && (peer < 0 || cvd_socket_send(peer, "w", 1, &fd, 1) == 1) &&
            write(ready[1], "r", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(ready[1]);
    char byte;
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    close(ready[0]);
    return pid;
}

static void kill_and_wait(pid_t pid)
{
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static void assert_replaces_leftover(const Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(g_file_test(f->path, G_FILE_TEST_EXISTS));
    g_autoptr(CvdWindow) window = cvd_window_new(f->layout, &f->named, &error);
    g_assert_no_error(error);
    g_autofree guchar *fresh = fresh_contents();
    assert_contents(window, fresh);
    g_assert_cmpuint(test_log_count("leftover"), ==, 1);
    g_assert_cmpuint(test_log_count(f->path), ==, 1);
}

static void test_live_holder_then_dead(Fixture *f, gconstpointer data)
{
    pid_t pid = start_owner(f, -1);
    g_autofree char *name = g_strdup_printf("process %d;", (int)pid);

    assert_refused(f, CVD_ERROR_BUSY, name);
    assert_refused(f, CVD_ERROR_BUSY, name); /* neither its closing nor our looking released it */
    kill_and_wait(pid);
    assert_replaces_leftover(f);
}

/* Whoever was given the descriptor, as QEMU and the clients are, must not keep the name alive. */
static void test_descriptor_outlives_owner(Fixture *f, gconstpointer data)
{
    int pair[2], fd;
    char byte;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    int said[2];
    g_assert_cmpint(pipe2(said, O_CLOEXEC), ==, 0);
    pid_t holder = fork();
    if (holder == 0) {
        struct pollfd poll_fd = {.fd = pair[1], .events = POLLIN};
        if (poll(&poll_fd, 1, -1) != 1 || cvd_socket_receive(pair[1], &byte, 1, &fd, 1) != 1)
            _exit(1);
        if (fd >= 0 && write(said[1], "h", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(said[1]);
    pid_t owner = start_owner(f, pair[0]);
    g_assert_cmpint(read(said[0], &byte, 1), ==, 1);
    assert_refused(f, CVD_ERROR_BUSY, "in use");
    kill_and_wait(owner);
    assert_replaces_leftover(f);
    kill_and_wait(holder);
    close(said[0]);
    close(pair[0]);
    close(pair[1]);
}

/* A client that may only read waits for the lock of the window's own file, gets it when the
 * launcher is killed, and keeps it; but the lock of the path is none of his. */
static void test_reader_holds_a_lock(Fixture *f, gconstpointer data)
{
    g_autofree char *lock_dir = g_dir_make_tmp("cvd-XXXXXX", NULL);

    f->named.lock_dir = lock_dir;
    pid_t owner = start_owner(f, -1);
    g_autofree char *who = g_strdup_printf("in use by process %d", (int)owner);
    assert_refused(f, CVD_ERROR_BUSY, who);
    kill_and_wait(owner);
    cvd_autofd reader = open(f->path, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(flock(reader, LOCK_EX | LOCK_NB), ==, 0);
    /* And the guest may have written all over it. */
    g_assert_cmpint(truncate(f->path, 0), ==, 0);
    test_log_forget();
    CvdWindow *window = cvd_window_new(f->layout, &f->named, NULL);
    g_assert_nonnull(window);
    g_assert_cmpuint(test_log_count("leftover"), ==, 1);
    cvd_window_free(window);
    g_assert_cmpint(rmdir(lock_dir), ==, 0);
}

/* A disk, say: no launcher has made it, whoever has it or not. */
static void test_file_of_the_users(Fixture *f, gconstpointer data)
{
    g_autofree char *lock_dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    g_autofree char *disk = g_malloc0(WINDOW_SIZE);

    for (guint i = 0; i < 2; i++) {
        f->named.lock_dir = i == 0 ? NULL : lock_dir;
        g_assert_true(g_file_set_contents(f->path, "mine", -1, NULL));
        assert_refused(f, CVD_ERROR_FOREIGN, "no window that a launcher left behind");
        g_assert_true(g_file_set_contents(f->path, disk, WINDOW_SIZE, NULL));
        assert_refused(f, CVD_ERROR_FOREIGN, "no window that a launcher left behind");
        g_assert_true(g_file_test(f->path, G_FILE_TEST_EXISTS));
    }
    g_assert_cmpint(unlink(f->path), ==, 0);
    g_assert_cmpint(rmdir(lock_dir), ==, 0);
}

/* It is no leftover; and only in a pid namespace the kernel does not show who is gone. */
static void test_lock_of_the_dead(Fixture *f, gconstpointer data)
{
    kill_and_wait(start_owner(f, -1));
    cvd_autofd fd = open(f->path, O_RDONLY | O_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0)
        _exit(flock(fd, LOCK_EX | LOCK_NB) < 0 ? 1 : 0);
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    g_autofree char *who = g_strdup_printf("in use by process %d;", (int)pid);
    g_autoptr(GError) error = NULL;
    g_assert_null(cvd_window_new(f->layout, &f->named, &error));
    g_assert_true(strstr(error->message, "in use by another process;") != NULL ||
                  strstr(error->message, who) != NULL);
    cvd_close_fd(&fd);
    assert_replaces_leftover(f);
}

/* The directory is closed to us when all else is ready. */
static void test_leftover_stays(Fixture *f, gconstpointer data)
{
    uid_t uid = geteuid();
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = -1;

    kill_and_wait(start_owner(f, -1));
    g_assert_true(uid != 0 || (chown(f->directory, NOBODY, NOBODY) == 0 &&
                               chown(f->path, NOBODY, NOBODY) == 0 && seteuid(NOBODY) == 0));
    g_autoptr(CvdShmName) name = cvd_shm_name_new(f->path, NULL, &fd, &error);
    g_assert_no_error(error);
    g_assert_no_errno(chmod(f->directory, 0500));
    g_assert_false(cvd_shm_name_link(name, fd, &error));
    g_assert_no_errno(seteuid(uid));
    g_assert_nonnull(strstr(error->message, "cannot remove the leftover"));
    g_assert_no_errno(chmod(f->directory, 0700));
    g_assert_no_errno(unlink(f->path));
}

static void test_twice_in_one_process(Fixture *f, gconstpointer data)
{
    g_autoptr(CvdWindow) window = cvd_window_new(f->layout, &f->named, NULL);
    char name[32];

    g_assert_nonnull(window);
    g_snprintf(name, sizeof name, "process %d;", (int)getpid());
    assert_refused(f, CVD_ERROR_BUSY, name);
}

static void test_foreign_owner(Fixture *f, gconstpointer data)
{
    if (geteuid() != 0) {
        g_test_skip("needs root, to give a file to another owner");
        return;
    }
    g_assert_true(g_file_set_contents(f->path, "x", 1, NULL));
    g_assert_cmpint(chown(f->path, 65534, 65534), ==, 0);
    assert_refused(f, CVD_ERROR_FOREIGN, "uid 65534");
    g_assert_cmpint(unlink(f->path), ==, 0);
}

static void test_not_a_regular_file(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(mkfifo(f->path, 0600), ==, 0);
    assert_refused(f, CVD_ERROR_FOREIGN, "not a regular file");
    g_assert_cmpint(unlink(f->path), ==, 0);
    g_assert_cmpint(mkdir(f->path, 0700), ==, 0);
    assert_refused(f, CVD_ERROR_FOREIGN, "not a regular file");
    g_assert_cmpint(rmdir(f->path), ==, 0);
}

static void test_symbolic_link(Fixture *f, gconstpointer data)
{
    g_autofree char *target = g_build_filename(f->directory, "target", NULL);
    g_assert_cmpint(symlink(target, f->path), ==, 0);
    assert_refused(f, CVD_ERROR_FOREIGN, "not a regular file");
    g_assert_false(g_file_test(target, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_set_contents(target, "kept", -1, NULL));
    assert_refused(f, CVD_ERROR_FOREIGN, "not a regular file");
    g_assert_true(g_file_test(target, G_FILE_TEST_EXISTS));
    g_assert_cmpint(unlink(f->path), ==, 0);
    g_assert_cmpint(unlink(target), ==, 0);
}

static void test_impossible_places(Fixture *f, gconstpointer data)
{
    g_autofree char *path = g_build_filename(f->directory, "none", "ivshmem", NULL);
    f->named.path = path;
    assert_refused(f, CVD_ERROR_FAILED, "/none");
    f->named.path = "/proc/ivshmem";
    /* Who may not write there is told so, before the kernel says that it cannot be. */
    assert_refused(f, CVD_ERROR_FAILED, geteuid() == 0 ? "/dev/shm" : "/proc: ");
}

static void test_replaced_name_stays(Fixture *f, gconstpointer data)
{
    CvdWindow *window = cvd_window_new(f->layout, &f->named, NULL);
    g_assert_nonnull(window);
    g_assert_cmpint(unlink(f->path), ==, 0);
    /* The window is open, so its inode number is not free for this one. */
    g_assert_true(g_file_set_contents(f->path, "mine", -1, NULL));
    cvd_window_free(window);
    g_assert_true(g_file_test(f->path, G_FILE_TEST_EXISTS));
    g_assert_cmpint(unlink(f->path), ==, 0);
}

/* Says 'w' for won, 'b' for busy, 'e' for another error; ends, without tidying up, with its input.
 */
static void race(const Fixture *f, int start, int result)
{
    g_autoptr(GError) error = NULL;
    char byte;

    if (read(start, &byte, 1) != 0)
        _exit(1);
    CvdWindow *window = cvd_window_new(f->layout, &f->named, &error);
    byte = window != NULL ? 'w' : g_error_matches(error, CVD_ERROR, CVD_ERROR_BUSY) ? 'b' : 'e';
    if (write(result, &byte, 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

/* The first round finds the name free, each later one the leftover of the one before. */
static void test_race(Fixture *f, gconstpointer data)
{
    for (guint round = 0; round < RACE_ROUNDS; round++) {
        int start[2], result[2];
        pid_t pids[2];
        char bytes[2];

        g_assert_cmpint(pipe2(start, O_CLOEXEC), ==, 0);
        g_assert_cmpint(pipe2(result, O_CLOEXEC), ==, 0);
        for (guint i = 0; i < 2; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                close(start[1]);
                race(f, start[0], result[1]);
            }
        }
        close(start[0]);
        close(result[1]);
        close(start[1]); /* both start */
        for (guint i = 0; i < 2; i++)
            g_assert_cmpint(read(result[0], &bytes[i], 1), ==, 1);
        close(result[0]);
        for (guint i = 0; i < 2; i++)
            kill_and_wait(pids[i]);
        g_assert_cmpint(MIN(bytes[0], bytes[1]), ==, 'b');
        g_assert_cmpint(MAX(bytes[0], bytes[1]), ==, 'w');
    }
    g_assert_cmpint(unlink(f->path), ==, 0);
}

enum {
    FULL_FINE,
    FULL_WRONG_ERROR,
    FULL_WRONG_TEXT,
    FULL_LEFT,
    FULL_NO_MOUNT = TEST_CHILD_SKIPS
};

static int fill_small_tmpfs(gconstpointer data)
{
    const Fixture *f = data;

    if (!test_mount_tmpfs(f->directory, "size=65536"))
        return FULL_NO_MOUNT;
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdLayout) layout = layout_of_size(MIB, 4096);
    CvdWindowOptions options = f->named;
    options.prealloc = TRUE;
    if (cvd_window_new(layout, &options, &error) != NULL ||
        !g_error_matches(error, CVD_ERROR, CVD_ERROR_RESOURCES))
        return FULL_WRONG_ERROR;
    if (strstr(error->message, "1048576 bytes are needed, 65536 are free") == NULL ||
        strstr(error->message, "remount") == NULL)
        return FULL_WRONG_TEXT;
    return access(f->path, F_OK) == 0 ? FULL_LEFT : FULL_FINE;
}

/* Its pages come when they are touched, which is too late for an error. */
static int promise_too_much(gconstpointer data)
{
    const Fixture *f = data;

    if (!test_mount_tmpfs(f->directory, "size=65536"))
        return FULL_NO_MOUNT;
    g_autoptr(CvdLayout) small = layout_of_size(32768, 4096);
    g_autoptr(CvdLayout) layout = layout_of_size(MIB, 4096);
    cvd_window_free(cvd_window_new(small, &f->named, NULL));
    if (test_log_count("SIGBUS") != 0)
        return FULL_WRONG_TEXT;
    g_autoptr(CvdWindow) window = cvd_window_new(layout, &f->named, NULL);
    if (window == NULL)
        return FULL_WRONG_ERROR;
    return test_log_count("1048576 bytes, but 65536 are free in") == 1 ? FULL_FINE
                                                                       : FULL_WRONG_TEXT;
}

static gboolean put_number(const char *dir, const char *file, gint64 number)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    cvd_autofd fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && dprintf(fd, "%" G_GINT64_FORMAT, number) > 0;
}

/* A control group of its own, with less memory than the window is to have. */
static int exceed_cgroup(gconstpointer data)
{
    static const struct {
        const char *mount;
        const char *limit;
    } versions[] = {{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
                    {"/sys/fs/cgroup", "memory.max"}};
    int result = FULL_NO_MOUNT;

    for (gsize i = 0; i < G_N_ELEMENTS(versions) && result == FULL_NO_MOUNT; i++) {
        g_autofree char *dir = g_strdup_printf("%s/cvd-test-%d", versions[i].mount, getpid());
        g_autoptr(GError) error = NULL;
        g_autoptr(CvdLayout) layout = layout_of_size(64 * MIB, 4096);
        CvdWindowOptions options = {.backing = CVD_WINDOW_MEMFD, .prealloc = TRUE};
        if (mkdir(dir, 0755) == 0 && put_number(dir, versions[i].limit, 32 * MIB) &&
            put_number(dir, "cgroup.procs", getpid())) {
            g_autoptr(CvdWindow) window = cvd_window_new(layout, &options, &error);
            result = window == NULL && g_error_matches(error, CVD_ERROR, CVD_ERROR_RESOURCES) &&
                             strstr(error->message, versions[i].limit) != NULL
                         ? FULL_FINE
                         : FULL_WRONG_ERROR;
        }
        put_number(versions[i].mount, "cgroup.procs", getpid());
        rmdir(dir);
    }
    return result;
}

static void test_full_tmpfs(Fixture *f, gconstpointer data)
{
    test_in_child(fill_small_tmpfs, f, "cannot mount a tmpfs here");
}

static void test_small_tmpfs(Fixture *f, gconstpointer data)
{
    test_in_child(promise_too_much, f, "cannot mount a tmpfs here");
}

static void test_small_cgroup(Fixture *f, gconstpointer data)
{
    test_in_child(exceed_cgroup, f, "cannot make a control group here");
}

static gint64 read_number(const char *path)
{
    g_autofree char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? g_ascii_strtoll(text, NULL, 10) : -1;
}

static gboolean write_number(const char *path, gint64 number)
{
    cvd_autofd fd = open(path, O_WRONLY | O_CLOEXEC);
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, number);
    return fd >= 0 && write(fd, text, strlen(text)) > 0;
}

static void test_too_few_huge_pages(void)
{
    gint64 n_free = read_number(FREE_HUGEPAGES);
    if (n_free < 0 || n_free >= 1024) {
        g_test_skip("needs a kernel with huge pages of 2 MiB, and fewer than 1024 of them free");
        return;
    }
    g_autoptr(CvdLayout) layout = layout_of_size(G_GINT64_CONSTANT(1) << 31, 2 * MIB);
    CvdWindowOptions options = {.hugepage_size = 2 * MIB};
    g_autoptr(GError) error = NULL;
    g_assert_null(cvd_window_new(layout, &options, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_RESOURCES);
    g_autofree char *counts =
        g_strdup_printf("1024 huge pages of 2048 kB are needed, %" G_GINT64_FORMAT " are free",
                        n_free - read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/"
                                             "resv_hugepages"));
    g_assert_nonnull(strstr(error->message, counts));
    g_assert_nonnull(strstr(error->message, NR_HUGEPAGES));
}

static void test_unknown_huge_page_size(void)
{
    if (g_file_test("/sys/kernel/mm/hugepages/hugepages-1048576kB", G_FILE_TEST_IS_DIR)) {
        g_test_skip("this kernel has huge pages of 1 GiB");
        return;
    }
    g_autoptr(CvdLayout) layout = layout_of_size(G_GINT64_CONSTANT(1) << 31, 1024 * MIB);
    CvdWindowOptions options = {.hugepage_size = 1024 * MIB};
    g_autoptr(GError) error = NULL;
    g_assert_null(cvd_window_new(layout, &options, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_RESOURCES);
    g_assert_nonnull(strstr(error->message, "1048576 kB"));
}

/* One page for the descriptors, one for the region: a window of 4 MiB. */
static void use_two_huge_pages(gboolean prealloc)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdLayout) layout = layout_of_size(CVD_UNSET, 2 * MIB);
    CvdWindowOptions options = {.hugepage_size = 2 * MIB, .prealloc = prealloc};
    g_autoptr(CvdWindow) window = cvd_window_new(layout, &options, &error);
    g_assert_no_error(error);
    /* All are reserved: a second window cannot take them away. */
    g_autoptr(CvdWindow) second = cvd_window_new(layout, &options, &error);
    g_assert_null(second);
    g_assert_error(error, CVD_ERROR, CVD_ERROR_RESOURCES);
    g_clear_error(&error);
    cvd_autofd read_only = cvd_window_open_read_only(window, &error);
    g_assert_no_error(error);
    test_assert_read_only(read_only);

    g_autoptr(GBytes) descriptors = cvd_layout_get_descriptors(layout);
    gsize size;
    const void *bytes = g_bytes_get_data(descriptors, &size);
    guchar *memory =
        mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, cvd_window_get_fd(window), 0);
    g_assert_true(memory != MAP_FAILED);
    g_assert_cmpmem(memory, size, bytes, size);
    memset(memory + 2 * MIB, 0xaa, 2 * MIB);
    g_assert_true(cvd_window_reset_signals(window, &error));
    g_assert_cmpuint(memory[2 * MIB], ==, 0);
    g_assert_cmpuint(memory[2 * MIB + 15], ==, 0);
    g_assert_cmpuint(memory[2 * MIB + 16], ==, 0xaa);
    memset(memory, 0xbb, 4 * MIB);
    g_assert_true(cvd_window_renew(window, &error));
    g_assert_cmpmem(memory, size, bytes, size);
    for (gsize i = size; i < 4 * MIB; i++)
        g_assert_cmpuint(memory[i], ==, 0);

    cvd_autofd content = memfd_create("content", MFD_CLOEXEC);
    g_assert_no_errno(ftruncate(content, 4 * MIB));
    g_assert_cmpint(pwrite(content, "garbage", 7, 0), ==, 7);
    g_assert_cmpint(pwrite(content, "content", 7, 3 * MIB), ==, 7);
    g_assert_true(cvd_window_fill(window, content, &error));
    g_assert_no_error(error);
    g_assert_cmpmem(memory, size, bytes, size);
    g_assert_cmpmem(memory + 3 * MIB, 7, "content", 7);
    munmap(memory, 4 * MIB);
}

static void test_huge_pages(void)
{
    gint64 n_before = read_number(NR_HUGEPAGES);
    if (n_before != 0 || !write_number(NR_HUGEPAGES, 2) || read_number(FREE_HUGEPAGES) != 2) {
        g_test_skip("cannot reserve exactly two huge pages here");
        if (n_before == 0)
            write_number(NR_HUGEPAGES, 0);
        return;
    }
    /* In a child: a failed assertion there must not leave the pages reserved. */
    pid_t pid = fork();
    if (pid == 0) {
        use_two_huge_pages(FALSE);
        use_two_huge_pages(TRUE);
        _exit(0);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(write_number(NR_HUGEPAGES, 0));
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpint(read_number(NR_HUGEPAGES), ==, 0);
}

#define ADD(name, test) g_test_add("/window/" name, Fixture, NULL, set_up, test, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    g_test_add_func("/window/descriptors-byte-by-byte", test_descriptors);
    g_test_add_func("/window/descriptors-elsewhere", test_descriptors_elsewhere);
    g_test_add_func("/window/seals-hold", test_seals);
    ADD("new-reset-renewed", test_life);
    g_test_add_func("/window/reset-of-large-tables", test_reset_of_large_tables);
    ADD("named", test_named);
    ADD("truncated-by-another", test_truncated_by_another);
    ADD("live-holder-then-dead", test_live_holder_then_dead);
    ADD("descriptor-outlives-owner", test_descriptor_outlives_owner);
    ADD("reader-holds-a-lock", test_reader_holds_a_lock);
    ADD("file-of-the-users", test_file_of_the_users);
    ADD("lock-of-the-dead", test_lock_of_the_dead);
    ADD("leftover-that-stays", test_leftover_stays);
    ADD("twice-in-one-process", test_twice_in_one_process);
    ADD("foreign-owner", test_foreign_owner);
    ADD("not-a-regular-file", test_not_a_regular_file);
    ADD("symbolic-link", test_symbolic_link);
    ADD("impossible-places", test_impossible_places);
    ADD("replaced-name-is-not-unlinked", test_replaced_name_stays);
    ADD("two-race-and-one-wins", test_race);
    ADD("full-tmpfs-with-prealloc", test_full_tmpfs);
    ADD("small-tmpfs-without-prealloc", test_small_tmpfs);
    ADD("small-control-group", test_small_cgroup);
    g_test_add_func("/window/too-few-huge-pages", test_too_few_huge_pages);
    g_test_add_func("/window/unknown-huge-page-size", test_unknown_huge_page_size);
    g_test_add_func("/window/huge-pages", test_huge_pages);
    return g_test_run();
}
