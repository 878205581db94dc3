/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/group/starter.h"

#include "base/fd.h"
#include "base/source.h"
#include "launcher/options.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Before the text of a line: base/log.c, launcher/launch-report.c. */
#define ERROR_MARK  ": error: "
#define ADVICE_MARK ": what to do: "
#define READ_SIZE   4096

struct CvdStarter {
    GPid pid;
    int fd; /* what it says on stderr */
    GSource *output;
    guint watch;
    GString *line;    /* as far as it has come */
    char *last;       /* line */
    char *last_error; /* without what comes before the text */
    char *advice;     /* that came with it */
    CvdStarterEnded ended;
    gpointer user_data;
};

/* ---- What it says ---- */

/* Returns: (nullable): what follows @mark */
static const char *find_after(const char *line, const char *mark)
{
    const char *at = strstr(line, mark);

    return at != NULL ? at + strlen(mark) : NULL;
}

static void keep(char **slot, const char *text)
{
    g_free(*slot);
    *slot = g_strdup(text);
}

static void end_line(CvdStarter *starter)
{
    const char *error = find_after(starter->line->str, ERROR_MARK);
    const char *advice = find_after(starter->line->str, ADVICE_MARK);

    if (error != NULL) {
        keep(&starter->last_error, error);
        keep(&starter->advice, NULL);
    } else if (advice != NULL) {
        keep(&starter->advice, advice);
    }
    if (starter->line->len > 0)
        keep(&starter->last, starter->line->str);
    g_string_truncate(starter->line, 0);
}

static void take_output(CvdStarter *starter, const char *bytes, gsize size)
{
    for (gsize i = 0; i < size; i++) {
        if (bytes[i] == '\n')
            end_line(starter);
        else if (starter->line->len < CVD_STARTER_MAX_LINE)
            g_string_append_c(starter->line, bytes[i]);
    }
}

/* Returns: whether there may be more at once */
static gboolean read_some(CvdStarter *starter)
{
    char bytes[READ_SIZE];
    gssize n = TEMP_FAILURE_RETRY(read(starter->fd, bytes, sizeof bytes));

    if (n > 0)
        take_output(starter, bytes, (gsize)n);
    else if (n == 0 || errno != EAGAIN)
        cvd_source_clear(&starter->output);
    return n > 0;
}

static gboolean on_output(int fd, GIOCondition condition, gpointer data)
{
    read_some(data);
    return G_SOURCE_CONTINUE;
}

/* ---- How it ends ---- */

static char *describe_end(const CvdStarter *starter, int status)
{
    if (WIFSIGNALED(status))
        return g_strdup_printf("cvd-launch was killed by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == EXIT_SUCCESS)
        return NULL;
    if (starter->last_error != NULL)
        return g_strconcat(starter->last_error, starter->advice != NULL ? "; " : NULL,
                           starter->advice, NULL);
    if (starter->last != NULL)
        return g_strdup(starter->last);
    return g_strdup_printf("cvd-launch exited with status %d", WEXITSTATUS(status));
}

/* Both of its processes have written all by now, unless the machine goes on, or only the one that
 * waits was killed. */
static void on_end(GPid pid, int status, gpointer data)
{
    CvdStarter *starter = data;

    starter->watch = 0;
    while (starter->output != NULL && read_some(starter))
        ;
    end_line(starter);
    cvd_source_clear(&starter->output);
    cvd_close_fd(&starter->fd); /* a group may have more machines than this process descriptors */
    g_autofree char *failure = describe_end(starter, status);
    starter->ended(failure, WIFEXITED(status) && WEXITSTATUS(status) == CVD_EXIT_USAGE,
                   starter->user_data);
}

void cvd_starter_stop(CvdStarter *starter)
{
    if (starter->watch != 0)
        kill(starter->pid, SIGTERM);
}

/* ---- Beginning and end ---- */

/* The terminal's signals are not for it. */
static void set_up_child(gpointer data)
{
    setsid();
}

CvdStarter *cvd_starter_new(const char *const *argv, CvdStarterEnded ended, gpointer user_data,
                            GError **error)
{
    /* Who started this one is not told that each machine is ready. */
    g_auto(GStrv) environment = g_environ_unsetenv(g_get_environ(), "NOTIFY_SOCKET");
    CvdStarter *starter = g_new0(CvdStarter, 1);

    starter->line = g_string_new(NULL);
    starter->fd = -1;
    starter->ended = ended;
    starter->user_data = user_data;
    if (!g_spawn_async_with_pipes(NULL, (char **)argv, environment,
                                  G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH |
                                      G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_CLOEXEC_PIPES,
                                  set_up_child, NULL, &starter->pid, NULL, NULL, &starter->fd,
                                  error)) {
        cvd_starter_free(starter);
        return NULL;
    }
    g_unix_set_fd_nonblocking(starter->fd, TRUE, NULL);
    starter->output = cvd_source_watch_fd(starter->fd, G_IO_IN, on_output, starter);
    starter->watch = g_child_watch_add(starter->pid, on_end, starter);
    return starter;
}

void cvd_starter_free(CvdStarter *starter)
{
    if (starter->watch != 0)
        g_source_remove(starter->watch);
    cvd_source_clear(&starter->output);
    cvd_close_fd(&starter->fd);
    g_string_free(starter->line, TRUE);
    g_free(starter->last);
    g_free(starter->last_error);
    g_free(starter->advice);
    g_free(starter);
}

char *cvd_starter_find_launcher(void)
{
    g_autofree char *own = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *dir = own != NULL ? g_path_get_dirname(own) : NULL;
    g_autofree char *beside = dir != NULL ? g_build_filename(dir, "cvd-launch", NULL) : NULL;

    if (beside != NULL && access(beside, X_OK) == 0)
        return g_steal_pointer(&beside);
    return g_strdup("cvd-launch");
}
