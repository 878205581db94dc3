/* SPDX-License-Identifier: Apache-2.0 */
/* The log as whoever reads stderr sees it: a child logs, its stderr is a pipe that is read here. */
#include "base/log.h"

#include "base/fd.h"
#include "tests/support/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
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
    cvd_log_init("program", FALSE);
    g_message("plain");
    cvd_log_set_instance("cvd-7");
    g_warning("odd");
    g_critical("bad");
    g_info("detail");
    g_debug("more detail");
}

/* Returns: the local time as the log has it */
static char *format_now(void)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *seconds = g_date_time_format(now, "%H:%M:%S");

    return g_strdup_printf("%s.%03d", seconds, g_date_time_get_microsecond(now) / 1000);
}

static void test_levels(void)
{
    g_autofree char *text = hear(say_levels);
    g_assert_cmpstr(text, ==,
                    "cvd: early\n"
                    "program: plain\n"
                    "cvd-7: warning: odd\n"
                    "cvd-7: error: bad\n");
}

static void say_details(void)
{
    cvd_log_init("cvd-7", TRUE);
    g_info("wanted detail");
    g_debug("wanted more");
}

/* Details have their time, to the millisecond. */
static void test_details(void)
{
    g_autofree char *before = format_now();
    g_autofree char *text = hear(say_details);
    g_autofree char *after = format_now();
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const gsize size = strlen("HH:MM:SS.mmm");

    g_assert_cmpuint(g_strv_length(lines), ==, 3);
    g_assert_cmpstr(lines[0] + size, ==, " cvd-7: wanted detail");
    g_assert_cmpstr(lines[1] + size, ==, " cvd-7: wanted more");
    if (strcmp(before, after) <= 0) { /* else it is midnight */
        g_assert_cmpint(strncmp(before, lines[0], size), <=, 0);
        g_assert_cmpint(strncmp(lines[0], lines[1], size), <=, 0);
        g_assert_cmpint(strncmp(lines[1], after, size), <=, 0);
    }
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
                    "p: two\n  \tlines\n"
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

typedef struct {
    int outer; /* stderr as it was */
    int ends[2];
} FullPipe;

/* From now on stderr is a pipe that is filled to its last byte, and lines must not block. */
static void begin_full_pipe(FullPipe *pipe)
{
    char bytes[4096];

    if (pipe2(pipe->ends, O_CLOEXEC | O_NONBLOCK) < 0)
        _exit(1);
    memset(bytes, '.', sizeof bytes);
    while (write(pipe->ends[1], bytes, sizeof bytes) > 0)
        ;
    /* What the starter has is a blocking descriptor. */
    if (fcntl(pipe->ends[1], F_SETFL, 0) < 0)
        _exit(2);
    pipe->outer = dup(STDERR_FILENO);
    dup2(pipe->ends[1], STDERR_FILENO);
    cvd_log_init("p", FALSE);
    cvd_log_never_block();
}

/* Passes on what comes, until @last has come, which the main loop has to see to. */
static void empty_pipe(const FullPipe *pipe, const char *last)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char bytes[4096];

    while (!g_str_has_suffix(text->str, last)) {
        gssize n = read(pipe->ends[0], bytes, sizeof bytes);
        if (n > 0)
            g_string_append_len(text, bytes, n);
        else
            g_main_context_iteration(NULL, TRUE);
    }
    g_string_erase(text, 0, (gssize)strspn(text->str, "."));
    if (write(pipe->outer, text->str, text->len) != (gssize)text->len)
        _exit(3);
    /* Nothing is watched any more, and somebody else's descriptor has kept its flags. */
    if (g_main_context_iteration(NULL, FALSE) || fcntl(pipe->ends[1], F_GETFL) & O_NONBLOCK)
        _exit(4);
}

static void say_into_full_pipe(void)
{
    FullPipe pipe;

    begin_full_pipe(&pipe);
    g_message("one");
    g_warning("two");
    empty_pipe(&pipe, "two\n");
    g_message("three");
    empty_pipe(&pipe, "three\n");
}

static void test_full_pipe(void)
{
    g_autofree char *text = hear(say_into_full_pipe);
    g_assert_cmpstr(text, ==, "p: one\np: warning: two\np: three\n");
}

#define LINE_SIZE 1024
#define N_LINES   (CVD_LOG_MAX_QUEUED / LINE_SIZE)

/* As many lines as may wait, and two more. */
static void say_too_many_lines(void)
{
    g_autofree char *filler = g_strnfill(LINE_SIZE - strlen("p: \n"), 'x');
    FullPipe pipe;

    begin_full_pipe(&pipe);
    for (guint i = 0; i < N_LINES + 2; i++)
        g_message("%s", filler);
    empty_pipe(&pipe, "dropped, as nobody read them\n");
    g_message("next");
    empty_pipe(&pipe, "next\n");
}

static void test_full_queue(void)
{
    g_autofree char *text = hear(say_too_many_lines);
    g_assert_cmpuint(strlen(text), >, CVD_LOG_MAX_QUEUED);
    g_assert_cmpstr(text + CVD_LOG_MAX_QUEUED, ==,
                    "p: 2 lines dropped, as nobody read them\np: next\n");
}

/* A line longer than the pipe goes in pieces, one longer than 64 KiB is cut. */
static void say_long_line(void)
{
    g_autofree char *filler = g_strnfill(2 * 1024 * 1024, 'x');
    FullPipe pipe;

    begin_full_pipe(&pipe);
    g_message("%s", filler);
    g_message("last");
    empty_pipe(&pipe, "last\n");
}

static void test_long_line(void)
{
    g_autofree char *text = hear(say_long_line);
    g_assert_true(g_str_has_prefix(text, "p: x"));
    g_assert_cmpuint(strspn(text + strlen("p: "), "x"), ==, 64 * 1024);
    g_assert_cmpstr(text + strlen("p: ") + 64 * 1024, ==, "\np: last\n");
}

/* What a library says of a peer is limited, too. */
static void say_as_library(void)
{
    cvd_log_init("p", FALSE);
    g_log_set_always_fatal(G_LOG_FATAL_MASK);
    for (guint i = 0; i < 1000; i++)
        g_log_structured("GLib-GIO", G_LOG_LEVEL_CRITICAL, "MESSAGE", "oops");
}

static void test_library(void)
{
    g_autofree char *text = hear(say_as_library);
    g_assert_true(g_str_has_prefix(text, "p: error: oops\np: error: oops\n"));
    g_assert_cmpuint(strlen(text), <=, 3 * CVD_LOG_LINES_PER_SECOND * strlen("p: error: oops\n"));
}

static int bind_unix(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        _exit(1);
    return fd;
}

/* Returns: the socket that the journal would read; stderr is connected to it as a unit's is */
static int become_journal(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX,
                                        .sun_path = "/run/systemd/journal/stdout"};

    test_enter_mount_namespace();
    if (mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 ||
        g_mkdir_with_parents("/run/systemd/journal", 0755) < 0)
        _exit(2);
    int listener = bind_unix(address.sun_path, SOCK_STREAM);
    int unit = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listen(listener, 1) < 0 ||
        connect(unit, (const struct sockaddr *)&address, sizeof address) < 0 ||
        dup2(unit, STDERR_FILENO) < 0)
        _exit(3);
    return bind_unix("/run/systemd/journal/socket", SOCK_DGRAM);
}

/* Takes entries until the one that tells how many lines are lost. Returns: the sum of both */
static guint count_entries(int journal)
{
    static const char note[] = " lines dropped, as nobody read them";
    g_autofree char *bytes = g_malloc(65536);

    for (guint n = 0;; n++) {
        gssize size = recv(journal, bytes, 65536, MSG_DONTWAIT);
        while (size < 0 && errno == EAGAIN) {
            g_main_context_iteration(NULL, TRUE);
            size = recv(journal, bytes, 65536, MSG_DONTWAIT);
        }
        const char *at = memmem(bytes, (gsize)size, note, strlen(note));
        if (at == NULL)
            continue;
        while (g_ascii_isdigit(at[-1]))
            at--;
        return n + (guint)g_ascii_strtoull(at, NULL, 10);
    }
}

/* A journal that is stopped takes some ten entries. @n_early: how many lines come before there is a
 * main loop */
static void fill_stopped_journal(guint n_early)
{
    int outer = dup(STDERR_FILENO);
    int journal = become_journal();
    g_autofree char *filler = g_strnfill(LINE_SIZE, 'x');

    cvd_log_init("p", FALSE);
    for (guint i = 0; i < 2 * N_LINES; i++) {
        if (i == n_early)
            cvd_log_never_block();
        g_message("%s", filler);
    }
    cvd_log_never_block();
    dprintf(outer, "%u", count_entries(journal));
}

static void say_to_stopped_journal(void)
{
    fill_stopped_journal(0);
}

static void say_early_to_stopped_journal(void)
{
    fill_stopped_journal(2 * N_LINES);
}

typedef struct {
    const char *key;
    const char *value; /* NULL: it is not there */
} Field;

/* Returns: whether the entry that comes next has these fields */
static gboolean has_fields(int journal, const Field *fields, gsize n_fields)
{
    char bytes[4096];
    gssize size = recv(journal, bytes, sizeof bytes, MSG_DONTWAIT);

    for (gsize i = 0; i < n_fields && size > 0; i++) {
        g_autoptr(GString) field = g_string_new(fields[i].key);
        g_string_append_c(field, '\n');
        if (fields[i].value != NULL) {
            guint64 length = GUINT64_TO_LE((guint64)strlen(fields[i].value));
            g_string_append_len(field, (const char *)&length, sizeof length);
            g_string_append_printf(field, "%s\n", fields[i].value);
        }
        gboolean is_there = memmem(bytes, (gsize)size, field->str, field->len) != NULL;
        if (is_there != (fields[i].value != NULL))
            return FALSE;
    }
    return size > 0;
}

static void say_fields(void)
{
    static const Field of_program[] = {
        {"SYSLOG_IDENTIFIER", "program"}, {"CVD_INSTANCE", NULL}, {"MESSAGE", "one"}};
    static const Field of_client[] = {
        {"SYSLOG_IDENTIFIER", "program"}, {"CVD_INSTANCE", "phone"}, {"CVD_CLIENT_PID", "7"},
        {"CVD_REGION", "sensors"},        {"PRIORITY", "4"},         {"MESSAGE", "odd: two"}};
    static const Field of_no_region[] = {{"CVD_CLIENT_PID", "8"}, {"CVD_REGION", NULL}};
    int outer = dup(STDERR_FILENO);
    int journal = become_journal();
    guint n_right = 0;

    cvd_log_init("program", FALSE);
    g_message("one");
    n_right += has_fields(journal, of_program, G_N_ELEMENTS(of_program));
    cvd_log_set_instance("phone");
    cvd_log_client(G_LOG_LEVEL_WARNING, 7, "sensors", "odd: %s", "two");
    n_right += has_fields(journal, of_client, G_N_ELEMENTS(of_client));
    cvd_log_client(G_LOG_LEVEL_MESSAGE, 8, NULL, "three");
    n_right += has_fields(journal, of_no_region, G_N_ELEMENTS(of_no_region));
    dprintf(outer, "%u", n_right);
}

/* Lines reach a journal that takes the place of the one before. */
static void say_to_another_journal(void)
{
    int outer = dup(STDERR_FILENO);
    int journal = become_journal();
    char bytes[4096];

    cvd_log_init("p", FALSE);
    cvd_log_never_block();
    g_message("one");
    close(journal);
    unlink("/run/systemd/journal/socket");
    journal = bind_unix("/run/systemd/journal/socket", SOCK_DGRAM);
    g_message("two");
    gssize size = recv(journal, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size > 0 && memmem(bytes, (gsize)size, "MESSAGE\n\3\0\0\0\0\0\0\0two\n", 20) != NULL)
        dprintf(outer, "2");
}

static void hear_journal(Talk talk, guint expected)
{
    if (!test_may_mount()) {
        g_test_skip("no mount namespace to be had here");
        return;
    }
    g_autofree char *text = hear(talk);
    g_assert_cmpuint(g_ascii_strtoull(text, NULL, 10), ==, expected);
}

static void test_stopped_journal(void)
{
    hear_journal(say_to_stopped_journal, 2 * N_LINES);
}

static void test_stopped_journal_early(void)
{
    hear_journal(say_early_to_stopped_journal, 2 * N_LINES);
}

static void test_fields(void)
{
    hear_journal(say_fields, 3);
}

static void test_another_journal(void)
{
    hear_journal(say_to_another_journal, 2);
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
    g_test_add_func("/log/details-have-times", test_details);
    g_test_add_func("/log/control-characters-and-bad-utf8-escaped", test_escapes);
    g_test_add_func("/log/limit-tells-what-was-left-out", test_limit);
    g_test_add_func("/log/full-pipe-makes-lines-wait", test_full_pipe);
    g_test_add_func("/log/full-queue-drops-and-tells", test_full_queue);
    g_test_add_func("/log/long-line", test_long_line);
    g_test_add_func("/log/library-is-limited", test_library);
    g_test_add_func("/log/stopped-journal", test_stopped_journal);
    g_test_add_func("/log/stopped-journal-before-the-main-loop", test_stopped_journal_early);
    g_test_add_func("/log/another-journal", test_another_journal);
    g_test_add_func("/log/fields-in-the-journal", test_fields);
    g_test_add_func("/log/peer-bytes-escaped", test_escape_bytes);
    return g_test_run();
}
