/* SPDX-License-Identifier: Apache-2.0 */
/* How much gets to the guest in what time, by the size of a message. */
#include "bench/guest-figures.h"
#include "bench/pipes.h"
#include "bench/values.h"

#define GOAL_SIZE (64u << 10)
#define SPEED_MIB 256
#define SPEED     "cvd-agent: summed "

typedef enum {
    WAY_RING,
    WAY_VIRTIO,
    WAY_HOST,
    N_WAYS,
} WayIndex;

static double time_speed(TestLinux *vm, guint mib)
{
    g_autofree char *line = g_strdup_printf("speed %u", mib);
    double begin = now_us();

    test_linux_command(vm, line, SPEED);
    return (now_us() - begin) / 1e6;
}

/* By the host's clock, since a guest's may run fast or slow under TCG; the console's share is taken
 * off. Returns: MiB a second that the guest sums up when it has nothing else to do */
static double measure_guest(TestLinux *vm)
{
    double console_s = time_speed(vm, 0);

    return SPEED_MIB / (time_speed(vm, SPEED_MIB) - console_s);
}

static const struct {
    const char *key;
    const char *text;
} ways[N_WAYS] = {
    [WAY_RING] = {"ring", "ring in a region"},
    [WAY_VIRTIO] = {"virtio", "virtio-serial"},
    [WAY_HOST] = {"host", "ring between host processes"},
};

static char *size_text(guint size)
{
    if (size >= 1u << 20)
        return g_strdup_printf("%u MiB", size >> 20);
    return size >= 1u << 10 ? g_strdup_printf("%u KiB", size >> 10) : g_strdup_printf("%u B", size);
}

static void report_ratio(guint size, WayIndex other, GArray *const rates[N_WAYS], double goal)
{
    g_autofree char *key = g_strdup_printf("throughput_%u_ring_per_%s", size, ways[other].key);
    g_autofree char *size_name = size_text(size);
    g_autofree char *text = g_strdup_printf("%s, %s: ring / %s", "throughput", size_name,
                                            other == WAY_HOST ? "host to host" : "virtio-serial");
    g_autoptr(GArray) ratio = figure_combine(rates[WAY_RING], rates[other], '/');

    figure_report(key, text, ratio, "", size == GOAL_SIZE ? FIGURE_AT_LEAST : FIGURE_PLAIN, goal);
}

static void report_size(guint size, GArray *const rates[N_WAYS], GArray *const curves[N_WAYS])
{
    g_autofree char *size_name = size_text(size);

    for (guint way = 0; way < N_WAYS; way++) {
        g_autofree char *key = g_strdup_printf("throughput_%u_%s", size, ways[way].key);
        g_autofree char *text = g_strdup_printf("%s: %s", size_name, ways[way].text);
        CurvePoint point = {size, figure_quantile(rates[way], 0.5)};
        figure_report(key, text, rates[way], "MiB/s", FIGURE_PLAIN, 0);
        g_array_append_val(curves[way], point);
    }
    report_ratio(size, WAY_VIRTIO, rates, 5);
    report_ratio(size, WAY_HOST, rates, 0.5);
}

/* Where the ring is about as fast, it is not the ring that is the limit. */
static void report_limit(GArray *limit, GArray *const rates[N_WAYS])
{
    g_autoptr(GArray) ratio = figure_combine(rates[WAY_RING], limit, '/');

    figure_report("throughput_limit", "64 KiB: the guest only sums up", limit, "MiB/s",
                  FIGURE_PLAIN, 0);
    figure_report("throughput_limit_ratio", "throughput, 64 KiB: ring / the guest only sums up",
                  ratio, "", FIGURE_PLAIN, 0);
}

static void measure_size(TestLinux *vm, Pipe *const pipes[N_WAYS], guint size,
                         const BenchOptions *options, GArray *const curves[N_WAYS])
{
    g_autoptr(GArray) limit = figure_values();
    GArray *rates[N_WAYS] = {figure_values(), figure_values(), figure_values()};
    g_autofree char *size_name = size_text(size);

    for (int i = -1; i < options->n_rounds; i++) { /* one for nothing, to warm up */
        figure_progress("throughput, messages of %s: round %d of %d", size_name, i + 1,
                        options->n_rounds);
        for (guint k = 0; k < N_WAYS; k++) {
            guint way = (k + (guint)(i + 1)) % N_WAYS;
            double rate = pipe_measure(pipes[way], size, options->slice_ms);
            if (i >= 0)
                g_array_append_val(rates[way], rate);
        }
        double rate = size == GOAL_SIZE ? measure_guest(vm) : 0;
        if (i >= 0)
            g_array_append_val(limit, rate);
    }
    report_size(size, rates, curves);
    if (size == GOAL_SIZE)
        report_limit(limit, rates);
    for (guint way = 0; way < N_WAYS; way++)
        g_array_unref(rates[way]);
}

void guest_measure_throughput(const Guest *guest, const BenchOptions *options)
{
    static const guint sizes[] = {64, 1 << 10, 4 << 10, GOAL_SIZE, 1 << 20};
    GArray *curves[N_WAYS];
    Pipe *pipes[N_WAYS] = {pipe_new_region(guest->ring), pipe_new_stream(guest->sink),
                           pipe_new_host()};

    test_linux_command(guest->vm, "ring-sink ring", "cvd-agent: ring-sink: started");
    figure_section("Throughput host – guest");
    for (guint way = 0; way < N_WAYS; way++)
        curves[way] = g_array_new(FALSE, FALSE, sizeof(CurvePoint));
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++)
        measure_size(guest->vm, pipes, sizes[i], options, curves);
    for (guint way = 0; way < N_WAYS; way++) {
        g_autofree char *key = g_strdup_printf("throughput_%s", ways[way].key);
        curve_report(CURVE_THROUGHPUT, key, ways[way].text, curves[way]);
        g_array_unref(curves[way]);
        pipe_free(pipes[way]);
    }
}
