/* SPDX-License-Identifier: Apache-2.0 */
/* Round trips, one after the other. Each checks that what came back is the answer to what went. */
#include "bench/trips.h"

#include "bench/values.h"
#include "tests/support/process.h"

#include <errno.h>
#include <unistd.h>

#define TIMEOUT_MS 10000

void trips_region(CvdRegion *region, guint n, GArray *times_us)
{
    g_autoptr(GError) error = NULL;
    guint word = cvd_region_get_data_offset(region);

    for (guint i = 0; i < n; i++) {
        double begin = now_us();
        if (!cvd_region_store(region, word, i, &error) || !cvd_region_signal(region, word, &error))
            g_error("%s", error->message);
        for (guint answer = i; answer != i + 1;) {
            g_autoptr(GArray) offsets = cvd_region_wait(region, TIMEOUT_MS, NULL, &error);
            if (offsets == NULL || !cvd_region_load(region, word + 4, &answer, &error))
                g_error("%s", error->message);
        }
        double us = now_us() - begin;
        g_array_append_val(times_us, us);
    }
}

static void receive(int fd, guint64 expected)
{
    guint64 answer = 0;

    for (gsize done = 0; done < sizeof answer;) {
        gssize n = read(fd, (char *)&answer + done, sizeof answer - done);
        if (n <= 0)
            g_error("the guest does not answer: %s", n < 0 ? g_strerror(errno) : "closed");
        done += (gsize)n;
    }
    g_assert_cmpuint(answer, ==, expected);
}

void trips_stream(int fd, guint n, GArray *times_us)
{
    for (guint i = 0; i < n; i++) {
        guint64 value = i;
        double begin = now_us();
        if (write(fd, &value, sizeof value) != sizeof value)
            g_error("the guest cannot be reached: %s", g_strerror(errno));
        receive(fd, value);
        double us = now_us() - begin;
        g_array_append_val(times_us, us);
    }
}
