/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/programs/hook.h"

#include "base/error.h"
#include "base/fd.h"
#include "tests/unit/child.h"
#include "tests/unit/log-dir.h"
#include "tests/unit/talk.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG "programs/" CVD_HOOK_OUTPUT ".log"

typedef struct {
    TestLogDir logs;
    char *directory; /* of the configuration */
    CvdChildren *children;
    CvdOutputLoad load;
    CvdOutput *output;
    CvdConfig config;
    char *argv[5];
    CvdHook *hook;
    guint n_done;
    char *failure;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    test_log_dir_open(&f->logs);
    f->directory = g_dir_make_tmp("cvd-XXXXXX", &error);
    g_assert_no_error(error);
    f->children = cvd_children_new(NULL, &error);
    g_assert_no_error(error);
    f->output = cvd_output_new(f->logs.dir, &f->load, CVD_HOOK_OUTPUT);
    f->config = (CvdConfig){
        .name = (char *)"phone7", .directory = f->directory, .hooks = {.timeout_s = 100}};
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_clear_pointer(&f->hook, cvd_hook_free);
    cvd_output_free(f->output);
    cvd_children_free(f->children);
    g_assert_no_errno(rmdir(f->directory));
    g_free(f->directory);
    g_free(f->failure);
    test_log_dir_close(&f->logs);
}

static void on_done(const GError *error, gpointer data)
{
    Fixture *f = data;

    f->n_done++;
    f->failure = g_strdup(error != NULL ? error->message : NULL);
    g_clear_pointer(&f->hook, cvd_hook_free); /* which it may */
}

static void start(Fixture *f)
{
    f->config.hooks.before_start = f->argv;
    f->hook = cvd_hook_run(&f->config, f->children, f->output, CVD_HOOK_BEFORE_START, on_done, f);
    g_assert_nonnull(f->hook);
    g_assert_cmpuint(f->n_done, ==, 0);
}

static void run(Fixture *f)
{
    start(f);
    while (f->n_done == 0)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpuint(f->n_done, ==, 1);
}

static void run_script(Fixture *f, const char *script)
{
    f->argv[0] = (char *)"/bin/sh";
    f->argv[1] = (char *)"-c";
    f->argv[2] = (char *)script;
    run(f);
}

static char *read_log(const Fixture *f)
{
    g_autoptr(GBytes) content = test_log_dir_read(&f->logs, LOG);

    g_assert_nonnull(content);
    return g_strndup(g_bytes_get_data(content, NULL), g_bytes_get_size(content));
}

static void test_success(Fixture *f, gconstpointer data)
{
    run_script(f, "echo one; echo two >&2");
    g_assert_null(f->failure);
    g_autofree char *log = read_log(f);
    g_assert_cmpstr(log, ==, "one\ntwo\n");
}

static void test_none(Fixture *f, gconstpointer data)
{
    for (CvdHookKind kind = CVD_HOOK_BEFORE_START; kind <= CVD_HOOK_AFTER_STOP; kind++)
        g_assert_null(cvd_hook_run(&f->config, f->children, f->output, kind, on_done, f));
    f->config.hooks.after_ready = f->argv; /* an empty list */
    g_assert_null(
        cvd_hook_run(&f->config, f->children, f->output, CVD_HOOK_AFTER_READY, on_done, f));
}

/* Each runs its own command; all print to one file. */
static void test_all(Fixture *f, gconstpointer data)
{
    static const char *const names[] = {"hooks.before_start", "hooks.after_ready",
                                        "hooks.after_stop"};
    char *argv[][3] = {{(char *)"echo", (char *)"1", NULL},
                       {(char *)"echo", (char *)"2", NULL},
                       {(char *)"echo", (char *)"3", NULL}};

    f->config.hooks.before_start = argv[0];
    f->config.hooks.after_ready = argv[1];
    f->config.hooks.after_stop = argv[2];
    for (guint i = 0; i < G_N_ELEMENTS(argv); i++) {
        f->hook = cvd_hook_run(&f->config, f->children, f->output, (CvdHookKind)i, on_done, f);
        g_assert_cmpstr(cvd_hook_get_name(f->hook), ==, names[i]);
        while (f->n_done == i)
            g_main_context_iteration(NULL, TRUE);
        g_assert_null(f->failure);
    }
    g_autofree char *log = read_log(f);
    g_assert_cmpstr(log, ==, "1\n2\n3\n");
}

static void test_surroundings(Fixture *f, gconstpointer data)
{
    f->argv[3] = (char *)"${name}";
    f->argv[4] = NULL;
    run_script(f, "echo $$0 $${CVD_NAME} ${index} $${CVD_PROGRAM-none}; pwd -P;"
                  " echo \"$$CVD_RUNTIME\" \"$$CVD_CLIENT_SOCKET\"; cat; ls /proc/self/fd | wc -l");
    g_assert_null(f->failure);
    g_autofree char *runtime = cvd_instance_dir_path("phone7");
    g_autofree char *here = g_strdup_printf("phone7 phone7 7 none\n%s\n%s %s/client.sock\n4\n",
                                            f->directory, runtime, runtime);
    g_autofree char *log = read_log(f);
    g_assert_cmpstr(log, ==, here);
}

static void test_failure(Fixture *f, gconstpointer data)
{
    g_autofree char *path = cvd_output_get_path(f->output);
    g_autofree char *expected = g_strdup_printf(
        "hooks.before_start: sh exited with status 3: no such bridge (all of it: %s)", path);

    run_script(f, "echo looking; echo no such bridge; exit 3");
    g_assert_cmpstr(f->failure, ==, expected);
}

static void test_silent_failure(Fixture *f, gconstpointer data)
{
    run_script(f, "exit 1");
    g_assert_cmpstr(f->failure, ==, "hooks.before_start: sh exited with status 1");
}

static void test_signal(Fixture *f, gconstpointer data)
{
    run_script(f, "kill -SEGV $$$$");
    g_assert_nonnull(f->failure);
    g_assert_true(g_str_has_prefix(f->failure, "hooks.before_start: sh was killed by signal 11 ("));
}

static void test_missing(Fixture *f, gconstpointer data)
{
    f->argv[0] = (char *)"${config_dir}/prepare";
    run(f);
    g_assert_true(g_str_has_prefix(f->failure, "hooks.before_start: cannot be started: "));
    g_assert_nonnull(strstr(f->failure, f->directory));
    g_assert_nonnull(strstr(f->failure, "No such file or directory"));
}

static void test_not_executable(Fixture *f, gconstpointer data)
{
    g_autofree char *path = g_build_filename(f->directory, "prepare", NULL);

    g_assert_true(g_file_set_contents(path, "#!/bin/sh\n", -1, NULL));
    g_assert_no_errno(chmod(path, 0644));
    f->argv[0] = path;
    run(f);
    g_assert_nonnull(strstr(f->failure, "hooks.before_start: cannot be started: "));
    g_assert_nonnull(strstr(f->failure, "Permission denied"));
    g_assert_no_errno(unlink(path));
}

/* It ignores what can be ignored, and so does what it has started. */
static void test_hangs(Fixture *f, gconstpointer data)
{
    f->config.hooks.timeout_s = 1;
    run_script(f, "trap '' TERM INT HUP; sleep 1000 & echo $$! >&2; wait");
    g_assert_cmpstr(f->failure, ==,
                    "hooks.before_start: sh was killed, as it took longer than 1 s; "
                    "hooks.timeout_s sets that limit");
    g_autofree char *log = read_log(f);
    g_assert_cmpint(kill(atoi(log), 0), ==, -1);
}

/* Whose parent does not see its end before the tracer has, which never looks. */
static pid_t trace(pid_t pid)
{
    cvd_autofd told = -1, tell = -1;
    int ends[2];
    char is_traced = 0;

    g_assert_no_errno(pipe(ends));
    told = ends[0];
    tell = ends[1];
    pid_t tracer = fork();
    g_assert_cmpint(tracer, >=, 0);
    if (tracer == 0) {
        is_traced = ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
        g_assert_cmpint(write(tell, &is_traced, 1), ==, 1);
        pause();
    }
    g_assert_cmpint(read(told, &is_traced, 1), ==, 1);
    if (is_traced)
        return tracer;
    kill(tracer, SIGKILL);
    return 0;
}

/* As one does that is in a system call which cannot be interrupted. */
static void test_cannot_be_killed(Fixture *f, gconstpointer data)
{
    g_autofree char *log = g_build_filename(cvd_instance_dir_get_path(f->logs.dir), LOG, NULL);
    g_autofree char *text = NULL;

    f->config.hooks.timeout_s = 1;
    f->argv[0] = (char *)"/bin/sh";
    f->argv[1] = (char *)"-c";
    f->argv[2] = (char *)"echo $$$$; exec tail -f /dev/null";
    start(f);
    while (!g_file_get_contents(log, &text, NULL, NULL) || strchr(text, '\n') == NULL) {
        g_clear_pointer(&text, g_free);
        g_main_context_iteration(NULL, TRUE);
    }
    pid_t tracer = trace(atoi(text));
    if (tracer == 0) {
        g_test_skip("this user may not trace its processes");
        return;
    }
    while (f->n_done == 0)
        g_main_context_iteration(NULL, TRUE);
    g_autofree char *expected =
        g_strdup_printf("hooks.before_start: sh took longer than 1 s and has not ended when it was "
                        "killed: it hangs in a system call, and is left behind (pid %d)",
                        atoi(text));
    g_assert_cmpstr(f->failure, ==, expected);
    g_assert_no_errno(kill(tracer, SIGKILL));
    while (kill(tracer, 0) == 0 || kill(atoi(text), 0) == 0)
        g_main_context_iteration(NULL, TRUE);
}

/* Clients have taken all descriptors but those that are held back. */
static void run_without_descriptors(void)
{
    const struct rlimit limit = {200, 200};
    Fixture f = {0};

    set_up(&f, NULL);
    g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &limit));
    g_assert_cmpuint(cvd_fd_hold_back(CVD_FD_RESERVE), ==, 0);
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
        ;
    run_script(&f, "true");
    g_assert_cmpstr(f.failure, ==, NULL);
    g_assert_cmpint(open("/dev/null", O_RDONLY | O_CLOEXEC), ==, -1);
    g_assert_cmpuint(cvd_fd_hold_back(0), ==, CVD_FD_RESERVE);
    tear_down(&f, NULL);
    _exit(0);
}

static void test_without_descriptors(void)
{
    test_with_low_fd_limit(run_without_descriptors);
}

/* What stays in the background does not stay. */
static void test_forks(Fixture *f, gconstpointer data)
{
    run_script(f, "setsid sleep 1000 & echo $$!; sleep 1000 & echo $$!");
    g_assert_null(f->failure);
    g_autofree char *log = read_log(f);
    g_auto(GStrv) pids = g_strsplit(log, "\n", -1);
    g_assert_cmpint(kill(atoi(pids[0]), 0), ==, -1);
    g_assert_cmpint(kill(atoi(pids[1]), 0), ==, -1);
}

static void test_cancel(Fixture *f, gconstpointer data)
{
    g_autofree char *path = cvd_output_get_path(f->output);

    f->argv[0] = (char *)"/bin/sh";
    f->argv[1] = (char *)"-c";
    f->argv[2] = (char *)"trap '' TERM; echo $$$$; sleep 1000 & wait";
    start(f);
    while (!g_file_test(path, G_FILE_TEST_EXISTS))
        g_main_context_iteration(NULL, TRUE);
    g_clear_pointer(&f->hook, cvd_hook_free);
    test_settle();
    g_assert_cmpuint(f->n_done, ==, 0);
    g_autofree char *log = read_log(f);
    g_assert_cmpint(kill(atoi(log), 0), ==, -1);
}

static void test_cancel_before_it_started(Fixture *f, gconstpointer data)
{
    f->argv[0] = (char *)"/nowhere/prepare";
    start(f);
    g_clear_pointer(&f->hook, cvd_hook_free);
    test_settle();
    g_assert_cmpuint(f->n_done, ==, 0);
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/hook/success", test_success);
    add("/hook/none", test_none);
    add("/hook/all-of-them", test_all);
    add("/hook/surroundings", test_surroundings);
    add("/hook/failure", test_failure);
    add("/hook/silent-failure", test_silent_failure);
    add("/hook/signal", test_signal);
    add("/hook/missing", test_missing);
    add("/hook/not-executable", test_not_executable);
    add("/hook/hangs", test_hangs);
    add("/hook/cannot-be-killed", test_cannot_be_killed);
    add("/hook/leaves-something-behind", test_forks);
    add("/hook/cancel", test_cancel);
    add("/hook/cancel-before-it-is-told-that-it-did-not-start", test_cancel_before_it_started);
    g_test_add_func("/hook/without-descriptors", test_without_descriptors);
    return g_test_run();
}
