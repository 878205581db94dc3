/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --host: another machine's cvd-ctl carries out the verb, and ssh(1) starts it there. A verb that
 * has the terminal to itself gets one there too, and ssh takes this process's place. Of all others
 * the output passes through here, as what a machine prints is not for the terminal to obey, and
 * sshd says nothing to them when the connection ends: they look at their stdout.
 */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/usage.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define OVER_SSH          "CVD_OVER_SSH"
#define STATUS_NO_COMMAND 127 /* of the shell there */
#define STATUS_NO_SSH     255 /* of ssh(1), EXIT STATUS */

/* ---- The command ---- */

static gboolean check_host(const char *host, GError **error)
{
    if (host[0] != '\0' && host[0] != '-')
        return TRUE;
    return cvd_tool_fail_usage(error, "--host '%s': expected [USER@]HOST", host);
}

static gboolean check_verb(const CvdTool *tool, GError **error)
{
    if (cvd_ctl_options.socket != NULL)
        return cvd_tool_fail_usage(error,
                                   "qmp --socket makes its socket on the other host; ssh can bring "
                                   "it here: ssh -L HERE:THERE HOST cvd-ctl qmp --socket THERE");
    if (tool->verb->run == cvd_ctl_report && tool->json)
        return cvd_tool_fail_usage(error, "report has no --json with --host");
    return TRUE;
}

/* Returns: the command for the shell of the other machine, each word as it stands here */
static char *format_command(const CvdTool *tool, char **arguments)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    GString *command = g_string_new("env " OVER_SSH "=1 cvd-ctl");

    cvd_usage_add_given(tool->options, words);
    g_ptr_array_add(words, g_strdup(tool->verb->name));
    cvd_usage_add_given(tool->verb->options, words);
    if (arguments[0] != NULL)
        g_ptr_array_add(words, g_strdup("--"));
    for (; *arguments != NULL; arguments++)
        g_ptr_array_add(words, g_strdup(*arguments));
    for (guint i = 0; i < words->len; i++) {
        g_autofree char *quoted = g_shell_quote(g_ptr_array_index(words, i));
        g_string_append_printf(command, " %s", quoted);
    }
    return g_string_free(command, FALSE);
}

/* As scp(1) has it: what the user's configuration says for sessions is not for a single command. */
static GPtrArray *make_argv(const char *host, gboolean on_terminal, char *take_command)
{
    static const char *const first[] = {
        "ssh", "-x", "-oClearAllForwardings=yes", "-oPermitLocalCommand=no", "-oRemoteCommand=none",
    };
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < G_N_ELEMENTS(first); i++)
        g_ptr_array_add(argv, g_strdup(first[i]));
    g_ptr_array_add(argv, g_strdup(on_terminal ? "-t" : "-T"));
    g_ptr_array_add(argv, g_strdup("--"));
    g_ptr_array_add(argv, g_strdup(host));
    g_ptr_array_add(argv, take_command);
    g_ptr_array_add(argv, NULL);
    return argv;
}

/* ---- The verb ---- */

static void explain(int status, const char *host)
{
    g_autofree char *name = cvd_ctl_printable(host);

    if (status == STATUS_NO_SSH)
        g_printerr("cvd-ctl: no connection to %s, or it was lost; ssh says above why\n", name);
    else if (status == STATUS_NO_COMMAND)
        g_printerr("cvd-ctl: %s has no cvd-ctl where commands over ssh are looked for; install it "
                   "there\n",
                   name);
}

static gboolean reads_stdin(const CvdTool *tool, char **arguments)
{
    return tool->verb->run == cvd_ctl_attach ||
           (tool->verb->run == cvd_ctl_qmp && arguments[0] == NULL);
}

static gboolean has_terminal(const CvdTool *tool, char **arguments)
{
    gboolean is_screen = tool->verb->run == cvd_ctl_top && !tool->json && !cvd_ctl_options.once &&
                         cvd_ctl_options.count == NULL;

    return (is_screen || reads_stdin(tool, arguments)) && isatty(STDIN_FILENO) &&
           isatty(STDOUT_FILENO);
}

static gboolean become_ssh(char **argv, GError **error)
{
    signal(SIGPIPE, SIG_DFL);
    execvp(argv[0], argv);
    int number = errno;
    signal(SIGPIPE, SIG_IGN);
    return cvd_ctl_fail_ssh(number, error);
}

static gboolean run_verb(CvdTool *tool, const char *host, char **arguments, int out_fd,
                         GError **error)
{
    gboolean on_terminal = has_terminal(tool, arguments);
    g_autoptr(GPtrArray) argv = make_argv(host, on_terminal, format_command(tool, arguments));

    if (on_terminal)
        return become_ssh((char **)argv->pdata, error);
    if (!cvd_ctl_run_ssh(tool, (char **)argv->pdata, reads_stdin(tool, arguments), out_fd, error))
        return FALSE;
    explain(tool->status, host);
    return TRUE;
}

/* What a shell there prints when it starts stands before it. */
static gboolean check_report(int fd, const char *host, GError **error)
{
    static const char gzip[] = "\x1f\x8b";
    char begin[sizeof gzip - 1];

    return (pread(fd, begin, sizeof begin, 0) == sizeof begin &&
            memcmp(begin, gzip, sizeof begin) == 0) ||
           cvd_fail(error, CVD_ERROR_FAILED,
                    "what %s has sent is no report; look what ssh %s cvd-ctl --version prints",
                    host, host);
}

/* The file is to be here. */
static gboolean run_report(CvdTool *tool, const char *host, char **arguments, GError **error)
{
    g_autofree char *name = g_strdup(tool->name != NULL ? tool->name : host);
    g_strcanon(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.-@", '_');
    g_autofree char *path = cvd_ctl_get_report_path(name);
    gboolean is_file = strcmp(path, "-") != 0;
    cvd_autofd fd = is_file ? cvd_ctl_create_report(path, error) : -1;

    if (is_file && fd < 0)
        return FALSE;
    if (!is_file && isatty(STDOUT_FILENO))
        return cvd_tool_fail_usage(error, "--output=-: stdout is a terminal; redirect it");
    g_free(cvd_ctl_options.output);
    cvd_ctl_options.output = g_strdup("-");
    if (!run_verb(tool, host, arguments, fd, error) ||
        (is_file && tool->status == 0 && !check_report(fd, host, error))) {
        if (is_file)
            unlink(path);
        return FALSE;
    }
    if (is_file && tool->status != 0)
        unlink(path);
    else if (is_file)
        g_printerr("%s: written\n", path);
    return TRUE;
}

gboolean cvd_ctl_run_on_host(CvdTool *tool, char **arguments, GError **error)
{
    g_autofree char *host = g_steal_pointer(&tool->host); /* which the other one is not to have */

    if (!check_host(host, error) || !check_verb(tool, error))
        return FALSE;
    if (tool->verb->run == cvd_ctl_report)
        return run_report(tool, host, arguments, error);
    return run_verb(tool, host, arguments, -1, error);
}

/* ---- On the other machine ---- */

static gpointer watch_output(gpointer data)
{
    GPollFD output = {.fd = STDOUT_FILENO};

    while (g_poll(&output, 1, -1) < 0 && errno == EINTR)
        ;
    kill(getpid(), SIGHUP);
    return NULL;
}

void cvd_ctl_end_with_connection(void)
{
    sigset_t all, before;

    if (g_getenv(OVER_SSH) == NULL)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    g_thread_unref(g_thread_new("output", watch_output, NULL));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
