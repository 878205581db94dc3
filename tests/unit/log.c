/* SPDX-License-Identifier: Apache-2.0 */
/* The log as whoever reads stderr sees it: a child logs, its stderr is a pipe that is read here. */
#include "base/log.h"

#include "base/fd.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void (*Talk)(void);

static char *read_all(int fd)
{
    GString *text = g_string_new(NULL);
    char buffer[4096];
    gssize n;

    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        g_string_append_len(text, buffer, n);
    return g_string_free(text, FALSE);
}

/* Returns: what @talk wrote to stderr in a process of its own */
static char *hear(Talk talk)
{
    int ends[2];
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        g_unsetenv("JOURNAL_STREAM");
        talk();
        _exit(0);
    }
    close(ends[1]);
    char *text = read_all(ends[0]);
    close(ends[0]);
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    return text;
}

static void say_levels(void)
{
    cvd_log_init(NULL, FALSE);
    g_message("early");
    cvd_log_init("cvd-7", FALSE);
    g_message("plain");
    g_warning("odd");
    g_critical("bad");
    g_info("detail");
    g_debug("more detail");
    cvd_log_init(NULL, TRUE);
    g_info("wanted detail");
    g_debug("wanted more");
}

static void test_levels(void)
{
    g_autofree char *text = hear(say_levels);
    g_assert_cmpstr(text, ==,
                    "cvd: early\n"
                    "cvd-7: plain\n"
                    "cvd-7: warning: odd\n"
                    "cvd-7: error: bad\n"
                    "cvd-7: wanted detail\n"
                    "cvd-7: wanted more\n");
}

static void say_odd_bytes(void)
{
    cvd_log_init("p", FALSE);
    g_message("%s", "a\x1b[31mb\x7f\r\x01");
    g_message("%s", "two\n\tlines");
    g_message("%s", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    g_message("%s", "\xff lone \x9b cut \xe2\x82");
    g_message("%s", "c1 \xc2\x9b nbsp \xc2\xa0");
    g_message("%s", "over \xc0\xaf long");
}

static void test_escapes(void)
{
    g_autofree char *text = hear(say_odd_bytes);
    g_assert_cmpstr(text, ==,
                    "p: a\\x1b[31mb\\x7f\\x0d\\x01\n"
                    "p: two\n\tlines\n"
                    "p: gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\n"
                    "p: \\xff lone \\x9b cut \\xe2\\x82\n"
                    "p: c1 \\xc2\\x9b nbsp \xc2\xa0\n"
                    "p: over \\xc0\\xaf long\n");
}

static void say_too_much(void)
{
    const gint64 second = 5 * G_USEC_PER_SEC;
    CvdLogLimit limit = {0};

    cvd_log_init("p", FALSE);
    /* Exactly as many as may pass: nothing to tell of in the next second. */
    for (guint i = 0; i < CVD_LOG_LINES_PER_SECOND; i++)
        if (cvd_log_limit_pass(&limit, second + i))
            g_message("a");
    if (cvd_log_limit_pass(&limit, 2 * second))
        g_message("b");
    /* With the one before, one too many, at the last moment of the second. */
    for (guint i = 0; i < CVD_LOG_LINES_PER_SECOND; i++)
        if (cvd_log_limit_pass(&limit, 2 * second + G_USEC_PER_SEC - 1))
            g_message("b");
    if (cvd_log_limit_pass(&limit, 2 * second + G_USEC_PER_SEC))
        g_message("c");
}

static void test_limit(void)
{
    g_autofree char *text = hear(say_too_much);
    g_autoptr(GString) expected = g_string_new(NULL);
    for (guint i = 0; i < CVD_LOG_LINES_PER_SECOND; i++)
        g_string_append(expected, "p: a\n");
    for (guint i = 0; i < CVD_LOG_LINES_PER_SECOND; i++)
        g_string_append(expected, "p: b\n");
    g_string_append(expected, "p: 1 more lines like these were left out\np: c\n");
    g_assert_cmpstr(text, ==, expected->str);
}

/* The pipe is filled to its last byte, three lines meet it, then it is emptied and one more goes.
 */
static void say_into_full_pipe(void)
{
    int ends[2];
    char bytes[4096];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        _exit(1);
    memset(bytes, '.', sizeof bytes);
    while (write(ends[1], bytes, sizeof bytes) > 0)
        ;
    /* What the starter has is a blocking descriptor. */
    if (fcntl(ends[1], F_SETFL, 0) < 0)
        _exit(2);
    int outer = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    cvd_log_init("p", FALSE);
    cvd_log_never_block();
    g_message("one");
    g_warning("two");
    g_message("three");
    while (read(ends[0], bytes, sizeof bytes) > 0)
        ;
    g_message("four");
    g_message("five");
    gssize n = read(ends[0], bytes, sizeof bytes);
    if (n < 0 || write(outer, bytes, (gsize)n) != n)
        _exit(3);
    /* Somebody else's descriptor has kept its flags. */
    if (fcntl(ends[1], F_GETFL) & O_NONBLOCK)
        _exit(4);
}

static void test_full_pipe(void)
{
    g_autofree char *text = hear(say_into_full_pipe);
    g_assert_cmpstr(text, ==, "p: 3 lines dropped, as nobody read them\np: four\np: five\n");
}

/* A line longer than the pipe goes in part; what follows starts on a line of its own. */
static void say_torn_line(void)
{
    int ends[2];
    char bytes[4096];
    enum {
        LONG = 2 * 1024 * 1024
    };
    g_autofree char *text = g_strnfill(LONG, 'x');

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        _exit(1);
    int outer = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    cvd_log_init("p", FALSE);
    cvd_log_never_block();
    g_message("%s", text);
    while (read(ends[0], bytes, sizeof bytes) > 0)
        ;
    g_message("next");
    g_message("last");
    gssize n = read(ends[0], bytes, sizeof bytes);
    if (n < 0 || write(outer, bytes, (gsize)n) != n)
        _exit(2);
}

static void test_torn_line(void)
{
    g_autofree char *text = hear(say_torn_line);
    g_assert_cmpstr(text, ==, "\np: 1 line dropped, as nobody read them\np: next\np: last\n");
}

static void test_escape_bytes(void)
{
    static const struct {
        const char *bytes;
        gsize size;
        const char *escaped;
    } cases[] = {
        {"", 0, ""},
        {"GET\r\n", 5, "GET\\x0d\\x0a"},
        {"a\0b", 3, "a\\x00b"},
        {"\\x41", 4, "\\x5cx41"},
        {"\xc3\xbc~ \x7f", 5, "\\xc3\\xbc~ \\x7f"},
        {"0123456789abcdef0123456789abcdef", 32, "0123456789abcdef0123456789abcdef"},
        {"0123456789abcdef0123456789abcdefg", 33, "0123456789abcdef0123456789abcdef…"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *escaped = cvd_escape_bytes(cases[i].bytes, cases[i].size);
        g_assert_cmpstr(escaped, ==, cases[i].escaped);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK);
    g_test_add_func("/log/prefix-and-levels", test_levels);
    g_test_add_func("/log/control-characters-and-bad-utf8-escaped", test_escapes);
    g_test_add_func("/log/limit-tells-what-was-left-out", test_limit);
    g_test_add_func("/log/full-pipe-drops-and-tells", test_full_pipe);
    g_test_add_func("/log/torn-line", test_torn_line);
    g_test_add_func("/log/peer-bytes-escaped", test_escape_bytes);
    return g_test_run();
}
