/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever adds a check adds a row to the table at the end. Each has bounds on what it waits for. */
#include "launcher/qemu/doctor.h"

#include "base/json.h"
#include "base/terminal-text.h"
#include "launcher/config/probe.h"
#include "launcher/qemu/doctor-private.h"
#include "vsoc/abi.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const verdict_words[] = {"ok", "warning", "problem"};

void cvd_doctor_say(Doctor *doctor, Verdict verdict, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    doctor->worst = MAX(doctor->worst, verdict);
    if (doctor->findings != NULL) {
        JsonObject *finding = json_object_new();
        g_autofree char *valid = g_utf8_make_valid(text, -1);
        json_object_set_string_member(finding, "check", doctor->check);
        json_object_set_string_member(finding, "verdict", verdict_words[verdict]);
        json_object_set_string_member(finding, "text", valid);
        json_array_add_object_element(doctor->findings, finding);
    } else if (doctor->problems == NULL) {
        g_autoptr(GString) shown = g_string_new(NULL);
        cvd_terminal_text_append(shown, text, strlen(text), TRUE);
        printf("%s: %s\n", verdict_words[verdict], shown->str);
        fflush(stdout); /* the next check may take a while */
    } else if (verdict == VERDICT_PROBLEM) {
        g_ptr_array_add(doctor->problems, g_steal_pointer(&text));
    }
}

void cvd_doctor_say_all(Doctor *doctor, const GPtrArray *problems)
{
    for (guint i = 0; i < problems->len; i++)
        cvd_doctor_say(doctor, VERDICT_PROBLEM, "%s", (const char *)problems->pdata[i]);
}

void cvd_doctor_note_version(Doctor *doctor, const char *what, const char *version)
{
    g_autofree char *valid = g_utf8_make_valid(version, -1);

    if (doctor->versions != NULL)
        json_object_set_string_member(doctor->versions, what, valid);
}

static void check_proc(Doctor *doctor)
{
    if (access("/proc/self/fd", X_OK) < 0)
        cvd_doctor_say(
            doctor, VERDICT_PROBLEM,
            "/proc is not there, which a launch needs: mount it (mount -t proc proc /proc)");
}

/* Returns: the file of the library that has @symbol, whose name has the version */
static char *find_library(const char *symbol)
{
    Dl_info info = {0};
    gpointer address = dlsym(RTLD_DEFAULT, symbol);
    g_autofree char *path =
        address != NULL && dladdr(address, &info) != 0 ? realpath(info.dli_fname, NULL) : NULL;

    return path != NULL ? g_path_get_basename(path) : g_strdup("unknown");
}

static void check_versions(Doctor *doctor)
{
    static const char built_with[] = G_STRINGIFY(GLIB_MAJOR_VERSION) "." G_STRINGIFY(
        GLIB_MINOR_VERSION) "." G_STRINGIFY(GLIB_MICRO_VERSION);
    static const char layout[] =
        G_STRINGIFY(VSOC_LAYOUT_MAJOR_VERSION) "." G_STRINGIFY(VSOC_LAYOUT_MINOR_VERSION);
    g_autofree char *json_glib = find_library("json_node_alloc");
    g_autofree char *glib =
        g_strdup_printf("%u.%u.%u", glib_major_version, glib_minor_version, glib_micro_version);
    gboolean is_older =
        glib_check_version(GLIB_MAJOR_VERSION, GLIB_MINOR_VERSION, GLIB_MICRO_VERSION) != NULL;

    cvd_doctor_note_version(doctor, "cvd_launch", CVD_VERSION);
    cvd_doctor_note_version(doctor, "layout", layout);
    cvd_doctor_note_version(doctor, "glib", glib);
    cvd_doctor_note_version(doctor, "glib_built_with", built_with);
    cvd_doctor_note_version(doctor, "json_glib", json_glib);
    cvd_doctor_note_version(doctor, "json_glib_built_with", JSON_VERSION_S);
    cvd_doctor_say(doctor, is_older ? VERDICT_WARNING : VERDICT_OK,
                   "cvd-launch " CVD_VERSION ", layout %s; GLib %s, built with %s; %s, built with "
                   "json-glib " JSON_VERSION_S "%s",
                   layout, glib, built_with, json_glib,
                   is_older
                       ? ": the GLib here is older than what it was built with; install a newer one"
                       : "");
}

/* What a launch would look for, too. */
static void check_configuration(Doctor *doctor)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_auto(CvdQemuTools) tools = {0};

    if (doctor->config == NULL) {
        cvd_doctor_say(
            doctor, VERDICT_WARNING,
            "no configuration was found, so only the machine is looked at; name one with --config");
        if (doctor->binary == NULL)
            cvd_doctor_say(doctor, VERDICT_PROBLEM,
                           CVD_DOCTOR_BINARY " is not in PATH; install qemu-system-x86");
        return;
    }
    cvd_config_probe(doctor->config, &tools, problems);
    cvd_doctor_say_all(doctor, problems);
    if (problems->len == 0)
        cvd_doctor_say(doctor, VERDICT_OK, "the files that the configuration names are there");
}

/* ---- All of it ---- */

enum {
    NEEDS_QEMU = 1 << 0,
    NEEDS_CONFIG = 1 << 1,
    IN_CHECK = 1 << 2, /* of the configuration, too */
};

static const struct {
    const char *name;
    void (*look)(Doctor *doctor);
    guint flags;
} checks[] = {
    {"proc", check_proc, 0},
    {"versions", check_versions, 0},
    {"configuration", check_configuration, 0},
    {"qemu", cvd_doctor_check_qemu, NEEDS_QEMU | IN_CHECK},
    {"machine", cvd_doctor_check_machine, NEEDS_QEMU | IN_CHECK},
    {"devices", cvd_doctor_check_devices, NEEDS_QEMU | IN_CHECK},
    {"sandbox", cvd_doctor_check_sandbox, NEEDS_QEMU},
    {"accelerators", cvd_doctor_check_accelerators, NEEDS_QEMU},
    {"kvm", cvd_doctor_check_kvm, 0},
    {"descriptors", cvd_doctor_check_descriptors, 0},
    {"memlock", cvd_doctor_check_memlock, NEEDS_CONFIG},
    {"memory", cvd_doctor_check_memory, NEEDS_CONFIG},
    {"shm", cvd_doctor_check_shm, NEEDS_CONFIG},
    {"hugepages", cvd_doctor_check_hugepages, NEEDS_CONFIG | IN_CHECK},
    {"runtime_directory", cvd_doctor_check_runtime_dir, 0},
    {"apparmor", cvd_doctor_check_apparmor, 0},
    {"confinement", cvd_doctor_check_confinement, NEEDS_CONFIG},
};

static gboolean is_of_use(const Doctor *doctor, guint flags)
{
    return (doctor->binary != NULL || !(flags & NEEDS_QEMU)) &&
           (doctor->config != NULL || !(flags & NEEDS_CONFIG)) &&
           (doctor->problems == NULL || flags & IN_CHECK);
}

static void look(Doctor *doctor)
{
    for (guint i = 0; i < G_N_ELEMENTS(checks); i++) {
        doctor->check = checks[i].name;
        if (is_of_use(doctor, checks[i].flags))
            checks[i].look(doctor);
    }
    g_free(doctor->binary);
}

static void print_json(const Doctor *doctor)
{
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    JsonObject *object = json_object_new();

    json_node_take_object(root, object);
    json_object_set_string_member(object, "verdict", verdict_words[doctor->worst]);
    json_object_set_object_member(object, "versions", doctor->versions);
    json_object_set_array_member(object, "checks", doctor->findings);
    g_autofree char *text = cvd_json_to_string(root, TRUE);
    puts(text);
}

int cvd_doctor(const CvdConfig *config, gboolean is_json)
{
    Doctor doctor = {
        .config = config,
        .qemu = config != NULL ? &config->qemu : NULL,
        .binary = g_find_program_in_path(config != NULL ? config->qemu.binary : CVD_DOCTOR_BINARY),
        .findings = is_json ? json_array_new() : NULL,
        .versions = is_json ? json_object_new() : NULL,
    };

    look(&doctor);
    if (is_json)
        print_json(&doctor);
    return doctor.worst == VERDICT_PROBLEM ? 1 : 0;
}

void cvd_doctor_check(const CvdConfig *config, const char *binary, GPtrArray *problems)
{
    Doctor doctor = {
        .config = config,
        .qemu = &config->qemu,
        .binary = g_strdup(binary),
        .problems = problems,
    };

    look(&doctor);
}
