/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into cvd-launch, for the QEMU that it starts: a QEMU that is late. The thread that
 * migrates has said that it is through, and before it takes QEMU's lock to end the run state
 * `finish-migrate` two more commands are answered. QEMU's output says so.
 *
 * That is where the thread holds no lock for the first time after its event.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define N_ANSWERS 2

static _Thread_local int n_locks;
static _Thread_local bool has_completed;
static atomic_bool is_late;
static sem_t answers;

static bool is_qemu(void)
{
    return strncmp(program_invocation_short_name, "qemu-system-", strlen("qemu-system-")) == 0;
}

static bool has_text(const struct msghdr *message, const char *text)
{
    return message->msg_iovlen > 0 &&
           memmem(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len, text, strlen(text));
}

/* All that QMP says is sent by this, events by whichever thread has them. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t n = syscall(SYS_sendmsg, fd, message, flags);

    if (!is_qemu())
        return n;
    if (gettid() != getpid() && has_text(message, "\"completed\""))
        has_completed = true;
    if (is_late && (has_text(message, "\"return\"") || has_text(message, "\"error\"")))
        sem_post(&answers);
    return n;
}

static void wait_for_answers(void)
{
    has_completed = false;
    sem_init(&answers, 0, 0);
    is_late = true;
    for (int i = 0; i < N_ANSWERS; i++)
        while (sem_wait(&answers) < 0 && errno == EINTR)
            ;
    is_late = false;
    dprintf(STDERR_FILENO, "late-shim: QEMU was late\n");
}

typedef int (*MutexFunc)(pthread_mutex_t *mutex);

/* Through a union, as ISO C has no other way from one kind of pointer to the other. */
static int call(const char *name, pthread_mutex_t *mutex)
{
    union {
        void *symbol;
        MutexFunc function;
    } next = {dlsym(RTLD_NEXT, name)};

    return next.function(mutex);
}

static int count_lock(int result)
{
    n_locks += result == 0;
    return result;
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    if (has_completed && n_locks == 0)
        wait_for_answers();
    return count_lock(call("pthread_mutex_lock", mutex));
}

int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    return count_lock(call("pthread_mutex_trylock", mutex));
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    n_locks--;
    return call("pthread_mutex_unlock", mutex);
}
