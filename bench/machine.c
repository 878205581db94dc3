/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/machine.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef BENCH_BUILD
#define BENCH_BUILD "unknown"
#endif

static char *read_cpu(void)
{
    g_autofree char *text = NULL;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    const char *name = NULL;

    if (g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL))
        name = strstr(text, "model name");
    name = name != NULL ? strchr(name, ':') : NULL;
    g_autofree char *model =
        name != NULL ? g_strndup(name + 1, strcspn(name + 1, "\n")) : g_strdup("unknown processor");
    g_strstrip(model);
    return g_strdup_printf("%s, %ld %s", model, n, n == 1 ? "core" : "cores");
}

static char *read_memory(void)
{
    double bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);

    return g_strdup_printf("%.1f GiB", bytes / (1u << 30));
}

static char *read_kernel(void)
{
    struct utsname name;

    if (uname(&name) < 0)
        return g_strdup("unknown");
    return g_strdup_printf("%s %s", name.sysname, name.release);
}

static char *read_qemu(void)
{
    g_autofree char *out = NULL;
    const char *argv[] = {"qemu-system-x86_64", "--version", NULL};

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL,
                      NULL, NULL, &out, NULL, NULL, NULL))
        return g_strdup("not found");
    out[strcspn(out, "\n")] = '\0';
    const char *version = strstr(out, "version ");
    return g_strdup_printf("QEMU %s", version != NULL ? version + strlen("version ") : out);
}

Machine *machine_describe(const char *accel, const char *why)
{
    Machine *machine = g_new0(Machine, 1);
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    const char *what = strcmp(accel, "kvm") == 0
                           ? "KVM: guests run on the processor itself"
                           : "TCG: guests are translated in software, not run by KVM";

    machine->date = g_date_time_format(now, "%Y-%m-%d %H:%M");
    machine->cpu = read_cpu();
    machine->memory = read_memory();
    machine->kernel = read_kernel();
    machine->qemu = read_qemu();
    machine->accel = g_strdup(accel);
    machine->accel_text = g_strdup_printf("%s (%s)", what, why);
    machine->build = g_strdup(BENCH_BUILD);
    return machine;
}

void machine_free(Machine *machine)
{
    g_free(machine->date);
    g_free(machine->cpu);
    g_free(machine->memory);
    g_free(machine->kernel);
    g_free(machine->qemu);
    g_free(machine->accel);
    g_free(machine->accel_text);
    g_free(machine->build);
    g_free(machine);
}
