/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program: the wall clock jumps by ten years, forth and back, each time it is
 * read. The monotonic clock stays what it is.
 */
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define TEN_YEARS_S 315360000

static time_t jump(void)
{
    static int n_reads;

    return n_reads++ % 2 ? TEN_YEARS_S : -TEN_YEARS_S;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int r = (int)syscall(SYS_clock_gettime, clock, now);

    if (r == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += jump();
    return r;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    int r = clock_gettime(CLOCK_REALTIME, &precise);

    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return r;
}

time_t time(time_t *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}
