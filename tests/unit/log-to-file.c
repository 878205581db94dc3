/* SPDX-License-Identifier: Apache-2.0 */
/* A log that goes on in files, when who saw it leaves: a child logs, its files are read here. */
#include "base/log.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void (*Talk)(void);

/* Each file that is made has the next number; there are no more than that. */
static char *dir;
static guint n_files, max_files;

static char *path_of(guint number)
{
    return g_strdup_printf("%s/%u", dir, number);
}

static int make_file(gpointer data)
{
    g_autofree char *path = path_of(n_files);

    if (n_files == max_files)
        return -1;
    n_files++;
    return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static void talk_in_child(Talk talk, guint max)
{
    int status;

    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        max_files = max;
        g_unsetenv("JOURNAL_STREAM");
        cvd_log_init("p", FALSE);
        talk();
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

/* Returns: (transfer full): what is in the file, which is removed; NULL: there is none */
static char *take(guint number)
{
    g_autofree char *path = path_of(number);
    char *text = NULL;

    if (g_file_get_contents(path, &text, NULL, NULL))
        unlink(path);
    return text;
}

static void go_on_in_file(void)
{
    cvd_log_to_file(make_file, NULL);
    g_message("one");
    g_printerr("from elsewhere\n");
    cvd_log_never_block();
    g_message("two");
}

/* With date and time; and whoever else writes to stderr writes there, too. */
static void test_lines(void)
{
    talk_in_child(go_on_in_file, 2);
    g_autofree char *text = take(0);
    g_assert_true(
        g_regex_match_simple("^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3} p: one\n"
                             "from elsewhere\n"
                             "\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3} p: two\n$",
                             text, 0, 0));
    g_assert_null(take(1));
}

/* What a pipe that nobody reads has not taken is not lost, and is not written there any more. */
static void fill_pipe_first(void)
{
    g_autofree char *long_line = g_strnfill(60000, 'x');
    int ends[2];

    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    cvd_log_never_block();
    for (guint i = 0; i < 3; i++)
        g_message("%u%s", i, long_line);
    cvd_log_to_file(make_file, NULL);
    g_message("last");
    while (g_main_context_iteration(NULL, FALSE)) /* nothing waits for the pipe any more */
        ;
    close(ends[0]);
}

static void test_queue(void)
{
    talk_in_child(fill_pipe_first, 1);
    g_autofree char *text = take(0);
    g_assert_nonnull(strstr(text, "p: 2xxx"));
    g_assert_true(g_str_has_suffix(text, " p: last\n"));
}

/* A line of 100 bytes with all that is before it. */
static void write_lines(guint n)
{
    static const char stamp[] = "2000-01-01 00:00:00.000 p: ";
    g_autofree char *rest = g_strnfill(100 - (sizeof stamp - 1) - 1, 'x');

    for (guint i = 0; i < n; i++)
        g_message("%s", rest);
}

#define LINES_OF_A_FILE (CVD_LOG_MAX_FILE / 100)

static void fill_file(void)
{
    cvd_log_to_file(make_file, NULL);
    write_lines(LINES_OF_A_FILE);
}

static void fill_more_than_file(void)
{
    fill_file();
    write_lines(1);
}

static void test_full(void)
{
    talk_in_child(fill_file, 2);
    g_autofree char *whole = take(0);
    g_assert_cmpuint(strlen(whole), ==, LINES_OF_A_FILE * 100);
    g_assert_null(take(1));

    talk_in_child(fill_more_than_file, 2);
    g_autofree char *older = take(0);
    g_autofree char *newer = take(1);
    g_assert_cmpuint(strlen(older), ==, LINES_OF_A_FILE * 100);
    g_assert_cmpuint(strlen(newer), ==, 100);
}

/* A disk without room for another one, or a directory that is about to go. */
static void test_no_other_file(void)
{
    talk_in_child(fill_more_than_file, 1);
    g_autofree char *text = take(0);
    g_assert_cmpuint(strlen(text), ==, 100);
}

static void keep_file(void)
{
    fill_file();
    cvd_log_keep_file();
    write_lines(1);
}

static void test_kept(void)
{
    talk_in_child(keep_file, 2);
    g_autofree char *text = take(0);
    g_assert_cmpuint(strlen(text), ==, 100);
    g_assert_null(take(1));
}

static void test_no_file(void)
{
    talk_in_child(go_on_in_file, 0);
    g_assert_null(take(0));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK);
    dir = g_dir_make_tmp("cvdt-log-XXXXXX", NULL);
    g_test_add_func("/log-to-file/lines", test_lines);
    g_test_add_func("/log-to-file/queue", test_queue);
    g_test_add_func("/log-to-file/full", test_full);
    g_test_add_func("/log-to-file/no-other-file", test_no_other_file);
    g_test_add_func("/log-to-file/kept", test_kept);
    g_test_add_func("/log-to-file/no-file", test_no_file);
    int status = g_test_run();
    rmdir(dir);
    g_free(dir);
    return status;
}
