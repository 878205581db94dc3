/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/programs/output.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/source.h"
#include "launcher/log-file.h"
#include "tests/unit/child.h"
#include "tests/unit/log-dir.h"
#include "tests/unit/talk.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define LOG "programs/echo.log"

typedef struct {
    TestLogDir logs;
    CvdOutputLoad load;
    CvdOutput *output;
    int fd;    /* what the program writes to */
    pid_t pid; /* of spawn(); 0: it has ended */
} Fixture;

static void set_verbose(gboolean is_verbose)
{
    if (is_verbose)
        g_setenv("G_MESSAGES_DEBUG", "all", TRUE);
    else
        g_unsetenv("G_MESSAGES_DEBUG");
    g_assert_cmpint(cvd_log_is_verbose(), ==, is_verbose);
    test_log_forget();
}

static void reopen(Fixture *f)
{
    g_autoptr(GError) error = NULL;

    cvd_close_fd(&f->fd);
    f->fd = cvd_output_open(f->output, &error);
    g_assert_no_error(error);
}

static void set_up(Fixture *f, gconstpointer data)
{
    test_log_dir_open(&f->logs);
    f->output = cvd_output_new(f->logs.dir, &f->load, "echo");
    f->fd = -1;
    reopen(f);
    set_verbose(FALSE);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_clear_pointer(&f->output, cvd_output_free);
    cvd_close_fd(&f->fd);
    test_log_dir_close(&f->logs);
}

static void put_bytes(Fixture *f, const char *bytes, gsize size)
{
    g_assert_cmpint(write(f->fd, bytes, size), ==, (gssize)size);
    test_settle();
}

static void put(Fixture *f, const char *text)
{
    put_bytes(f, text, strlen(text));
}

static void on_ended(GPid pid, int status, gpointer data)
{
    *(pid_t *)data = 0;
}

/* Starts what writes to the output from then on, alone. */
static void spawn(Fixture *f, const char *command)
{
    const char *const argv[] = {"sh", "-c", command, NULL};
    g_autoptr(GError) error = NULL;

    g_spawn_async_with_pipes_and_fds(
        NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, -1, f->fd,
        f->fd, NULL, NULL, 0, &f->pid, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    cvd_close_fd(&f->fd);
    g_child_watch_add(f->pid, on_ended, &f->pid);
}

static void run(Fixture *f, const char *command)
{
    spawn(f, command);
    while (f->pid != 0)
        g_main_context_iteration(NULL, TRUE);
    cvd_output_read_rest(f->output);
}

static void assert_log(const Fixture *f, const char *name, const char *expected)
{
    g_autoptr(GBytes) content = test_log_dir_read(&f->logs, name);

    g_assert_nonnull(content);
    g_assert_cmpmem(g_bytes_get_data(content, NULL), g_bytes_get_size(content), expected,
                    strlen(expected));
}

static void assert_last_lines(const Fixture *f, guint n, const char *const *expected)
{
    g_auto(GStrv) lines = cvd_output_get_last_lines(f->output, n);

    g_assert_cmpstrv(lines, expected);
}

/* ---- Files ---- */

static void test_first_byte(Fixture *f, gconstpointer data)
{
    g_autofree char *path = cvd_output_get_path(f->output);

    test_settle();
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    assert_last_lines(f, 3, (const char *const[]){NULL});
    put(f, "x");
    g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_cmpuint(test_log_count("x"), ==, 0); /* as --verbose was not given */
}

/* Both streams in order; a shell's >/dev/stderr opens the pipe anew. */
static void test_program(Fixture *f, gconstpointer data)
{
    run(f, "echo one; echo two >&2; echo three >/dev/stderr; printf four");
    assert_log(f, LOG, "one\ntwo\nthree\nfour");
    assert_last_lines(f, 2, (const char *const[]){"three", "four", NULL});
}

/* Nothing of the launcher's end can be seen in the program's: many expect a blocking stderr. */
static void test_blocking(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(fcntl(f->fd, F_GETFL) & O_NONBLOCK, ==, 0);
    g_assert_cmpint(fcntl(f->fd, F_GETFD) & FD_CLOEXEC, !=, 0);
    run(f, "head -c 300000 /dev/zero && echo && echo done");
    assert_last_lines(f, 1, (const char *const[]){"done", NULL});
}

static void test_other_user(Fixture *f, gconstpointer data)
{
    g_autofree char *setpriv = g_find_program_in_path("setpriv");

    if (geteuid() != 0 || setpriv == NULL) {
        g_test_skip("needs root and setpriv, to become another user");
        return;
    }
    run(f, "exec setpriv --reuid 65534 --regid 65534 --clear-groups "
           "sh -c 'echo said >/dev/stderr'");
    assert_log(f, LOG, "said\n");
}

/* Two processes, one after the other: the file has both, the last lines are the second's. */
static void test_restart(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(write(f->fd, "first\nwhy", 9), ==, 9); /* not read yet */
    reopen(f);
    assert_log(f, LOG, "first\nwhy");
    assert_last_lines(f, 3, (const char *const[]){NULL});
    put(f, "\nsecond\n");
    assert_log(f, LOG, "first\nwhy\nsecond\n");
    assert_last_lines(f, 3, (const char *const[]){"", "second", NULL});
}

static gsize get_file_size(const Fixture *f)
{
    g_autofree char *path = cvd_output_get_path(f->output);
    struct stat st;

    return stat(path, &st) == 0 ? (gsize)st.st_size : 0;
}

/* However much there is, a dispatch takes a bounded part of it, and the files stay bounded. */
static void test_flood(Fixture *f, gconstpointer data)
{
    gsize size = 0, n_dispatches = 0;

    spawn(f, "head -c 5000000 /dev/zero; printf '\\nlast'");
    while (f->pid != 0) {
        g_main_context_iteration(NULL, TRUE);
        gsize size_now = get_file_size(f);
        gsize n = size_now >= size ? size_now - size : size_now;
        g_assert_cmpuint(n, <=, CVD_OUTPUT_READ_SIZE);
        size = size_now;
        n_dispatches += n > 0;
    }
    cvd_output_read_rest(f->output);
    g_assert_cmpuint(n_dispatches, >=, (5000000 - 65536) / CVD_OUTPUT_READ_SIZE);
    assert_last_lines(f, 1, (const char *const[]){"last", NULL});
    g_autoptr(GBytes) older = test_log_dir_read(&f->logs, LOG ".1");
    g_assert_cmpuint(g_bytes_get_size(older), ==, CVD_LOG_FILE_MAX_SIZE);
    g_assert_cmpuint(get_file_size(f), ==, 5000005 % CVD_LOG_FILE_MAX_SIZE);
}

/* How long each pauses, so that all together take a bounded part of the main loop. */
static void test_load(void)
{
    static const struct {
        gsize n_bytes;
        guint interval_ms;
    } rows[] = {
        {0, CVD_STREAM_INTERVAL_MS},
        {CVD_OUTPUT_READ_SIZE, CVD_STREAM_INTERVAL_MS},
        {CVD_OUTPUT_SHARED_SIZE, CVD_STREAM_INTERVAL_MS},
        {CVD_OUTPUT_SHARED_SIZE + 1, 2 * CVD_STREAM_INTERVAL_MS},
        {100 * CVD_OUTPUT_READ_SIZE, 50 * CVD_STREAM_INTERVAL_MS},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        CvdOutputLoad load = {rows[i].n_bytes};
        g_assert_cmpuint(cvd_output_load_get_interval_ms(&load), ==, rows[i].interval_ms);
    }
}

/* Each has its turn; who is silent, or has closed its end, slows nobody down. */
static void test_many_floods(Fixture *f, gconstpointer data)
{
    enum {
        N = 20
    };
    g_autofree char *flood = g_malloc0(CVD_OUTPUT_READ_SIZE);
    CvdOutput *outputs[N];
    int fds[N];

    for (guint i = 0; i < N; i++) {
        g_autofree char *name = g_strdup_printf("p%u", i);
        outputs[i] = cvd_output_new(f->logs.dir, &f->load, name);
        fds[i] = cvd_output_open(outputs[i], NULL);
        g_assert_cmpint(write(fds[i], flood, CVD_OUTPUT_READ_SIZE), ==, CVD_OUTPUT_READ_SIZE);
    }
    g_main_context_iteration(NULL, TRUE);
    g_assert_cmpuint(f->load.n_bytes, ==, N * CVD_OUTPUT_READ_SIZE);
    g_assert_cmpuint(cvd_output_load_get_interval_ms(&f->load), ==, N / 2 * CVD_STREAM_INTERVAL_MS);
    test_settle();
    g_assert_cmpuint(f->load.n_bytes, ==, 0);
    for (guint i = 0; i < N; i++)
        g_assert_cmpint(write(fds[i], flood, CVD_OUTPUT_READ_SIZE), ==, CVD_OUTPUT_READ_SIZE);
    g_main_context_iteration(NULL, TRUE);
    for (guint i = 0; i < N; i++) {
        g_assert_cmpuint(f->load.n_bytes, ==, (N - i) * CVD_OUTPUT_READ_SIZE);
        cvd_output_free(outputs[i]);
        cvd_close_fd(&fds[i]);
    }
    g_assert_cmpuint(f->load.n_bytes, ==, 0);
}

/* Who is left of the program and goes on writing does not keep us. */
static void test_endless_rest(Fixture *f, gconstpointer data)
{
    spawn(f, "yes");
    while (get_file_size(f) == 0)
        g_main_context_iteration(NULL, TRUE);
    cvd_output_read_rest(f->output);
    reopen(f); /* ends it by SIGPIPE */
    while (f->pid != 0)
        g_main_context_iteration(NULL, TRUE);
    put(f, "again\n");
    assert_last_lines(f, 2, (const char *const[]){"again", NULL});
}

/* It runs on without stdout and stderr; nothing wakes us any more. */
static void test_closed(Fixture *f, gconstpointer data)
{
    put(f, "bye");
    cvd_close_fd(&f->fd);
    test_settle();
    g_assert_false(g_main_context_iteration(NULL, FALSE));
    cvd_output_read_rest(f->output);
    assert_log(f, LOG, "bye");
    reopen(f);
    put(f, "!");
    assert_log(f, LOG, "bye!");
}

/* Runs in a process of its own. */
static int fill_disk(gconstpointer data)
{
    g_autofree char *bytes = g_strnfill(128 * 1024, 'x');
    Fixture f;

    if (!test_mount_tmpfs(g_get_tmp_dir(), "size=64k,mode=1777"))
        return TEST_CHILD_SKIPS;
    set_up(&f, NULL);
    for (gsize i = 0; i < 128; i++)
        put_bytes(&f, bytes, 1024);
    guint n_warnings = test_log_count("lines are lost");
    g_autofree char *path = cvd_output_get_path(f.output);
    if (truncate(path, 0) < 0)
        return 1;
    put(&f, "\nagain\n");
    g_auto(GStrv) lines = cvd_output_get_last_lines(f.output, 1);
    gboolean is_again = g_strcmp0(lines[0], "again") == 0;
    tear_down(&f, NULL);
    return n_warnings == 1 && is_again ? 0 : 1;
}

static void test_full_disk(void)
{
    test_in_child(fill_disk, NULL, "cannot mount anything here");
}

/* ---- Lines of the log ---- */

static void test_lines(Fixture *f, gconstpointer data)
{
    set_verbose(TRUE);
    put(f, "begun");
    g_assert_cmpuint(test_log_count("echo: "), ==, 0);
    put(f, ", ended\nsecond\r\n\nthi");
    g_assert_cmpuint(test_log_count("echo: begun, ended"), ==, 1);
    g_assert_cmpuint(test_log_count("echo: "), ==, 3);
    g_assert_cmpuint(test_log_count("\\x0d"), ==, 0);
    put_bytes(f, "rd\x1b[2J\0\xff.\n", 10);
    g_assert_cmpuint(test_log_count("echo: third\\x1b[2J\\x00\\xff."), ==, 1);

    put(f, "the end");
    cvd_close_fd(&f->fd);
    test_settle();
    g_assert_cmpuint(test_log_count("echo: the end"), ==, 1);
}

static void test_long_lines(Fixture *f, gconstpointer data)
{
    g_autofree char *longest = g_strnfill(CVD_OUTPUT_MAX_LINE, 'x');
    g_autofree char *whole = g_strdup_printf("echo: %s", longest);
    g_autofree char *cut = g_strdup_printf("echo: %s…", longest);

    set_verbose(TRUE);
    put(f, longest);
    put(f, "\n");
    g_assert_cmpuint(test_log_count(whole), ==, 1);
    g_assert_cmpuint(test_log_count(cut), ==, 0);
    put(f, longest);
    put(f, "y");
    put(f, "more\nnext\n");
    g_assert_cmpuint(test_log_count(whole), ==, 2);
    g_assert_cmpuint(test_log_count(cut), ==, 1);
    g_assert_cmpuint(test_log_count("more"), ==, 0);
    g_assert_cmpuint(test_log_count("echo: next"), ==, 1);
}

/* As many lines as may pass, or one more; the note comes though the program says nothing more. */
static void test_many_lines(Fixture *f, gconstpointer data)
{
    set_verbose(TRUE);
    g_autoptr(GString) lines = g_string_new(NULL);
    for (guint i = 0; i < CVD_OUTPUT_LINES_PER_SECOND; i++)
        g_string_append_printf(lines, "line %u\n", i);

    put(f, lines->str);
    g_assert_cmpuint(test_log_count("echo: line "), ==, CVD_OUTPUT_LINES_PER_SECOND);
    g_assert_cmpuint(test_log_count(" more lines"), ==, 0);

    g_autoptr(CvdOutput) other = cvd_output_new(f->logs.dir, &f->load, "other");
    f->fd = (cvd_close_fd(&f->fd), cvd_output_open(other, NULL));
    test_log_forget();
    g_string_append(lines, "one\ntwo\nthree\n");
    put(f, lines->str); /* settles when no timer is on */
    g_assert_cmpuint(test_log_count("other: line "), ==, CVD_OUTPUT_LINES_PER_SECOND);
    g_assert_cmpuint(test_log_count("other: one"), ==, 0);
    g_assert_cmpuint(test_log_count("other: [3 more lines are in "), ==, 1);
    g_assert_cmpuint(test_log_count("programs/other.log]"), ==, 1);
    put(f, "another second\n");
    g_assert_cmpuint(test_log_count("other: another second"), ==, 1);
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    add("/output/file-comes-with-the-first-byte", test_first_byte);
    add("/output/both-streams-of-a-program", test_program);
    add("/output/blocking-for-the-program", test_blocking);
    add("/output/program-of-another-user", test_other_user);
    add("/output/another-process", test_restart);
    add("/output/flood", test_flood);
    g_test_add_func("/output/load", test_load);
    add("/output/many-floods", test_many_floods);
    add("/output/endless-rest", test_endless_rest);
    add("/output/program-that-closes-its-streams", test_closed);
    g_test_add_func("/output/full-disk", test_full_disk);
    add("/output/lines-for-the-log", test_lines);
    add("/output/long-lines", test_long_lines);
    add("/output/many-lines", test_many_lines);
    return g_test_run();
}
