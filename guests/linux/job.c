/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What takes its time is done in processes of their own, so that the regions are served meanwhile.
 * The window, the registers and the doorbells are shared with them. A job has a process group, so
 * that what a shell has started goes with it.
 */
#include "guests/linux/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guests/linux/say.h"

#define MAX_JOBS 16

struct job {
    pid_t pid; /* 0: none */
    const char *name;
};

static struct job jobs[MAX_JOBS];
static const char *shell_command;

static struct job *find(pid_t pid)
{
    for (unsigned i = 0; i < MAX_JOBS; i++)
        if (jobs[i].pid == pid)
            return &jobs[i];
    return NULL;
}

static void become(int (*run)(void))
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY);

    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    _exit(run());
}

void cvd_agent_job_start(const char *name, int (*run)(void))
{
    struct job *job = find(0);

    if (!job) {
        cvd_agent_say("%s: %d jobs run already; try stop", name, MAX_JOBS);
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        become(run);
    if (pid < 0) {
        cvd_agent_say("%s: fork: %s", name, strerror(errno));
        return;
    }
    setpgid(pid, pid);
    *job = (struct job){.pid = pid, .name = name};
    cvd_agent_say("%s: started", name);
}

static int run_shell(void)
{
    execl("/bin/sh", "sh", "-c", shell_command, (char *)NULL);
    return cvd_agent_fail("/bin/sh: %s", strerror(errno)) ? 127 : 0;
}

void cvd_agent_job_shell(const struct cvd_agent_call *call)
{
    shell_command = call->text;
    cvd_agent_job_start("sh", run_shell);
}

void cvd_agent_job_reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct job *job = find(pid);

        if (!job)
            continue;
        if (WIFEXITED(status))
            cvd_agent_say("%s: exit status %d", job->name, WEXITSTATUS(status));
        else
            cvd_agent_say("%s: killed by signal %d", job->name, WTERMSIG(status));
        *job = (struct job){0};
    }
}

void cvd_agent_job_stop_all(const struct cvd_agent_call *call)
{
    for (unsigned i = 0; i < MAX_JOBS; i++)
        if (jobs[i].pid > 0)
            kill(-jobs[i].pid, SIGKILL);
}
