/* SPDX-License-Identifier: Apache-2.0 */
/* What the texts of host programs, hooks and QEMU come to, and which are refused. */
#include "launcher/config/substitute.h"

#include <string.h>

static const char *const own_sockets[] = {"fs", "net", "tpm", NULL};
static CvdSocketConfig sockets[] = {
    {(char *)"fs", CVD_SOCKET_LISTEN},
    {(char *)"tpm", CVD_SOCKET_PATH},
    {(char *)"net", CVD_SOCKET_PAIR},
};
static CvdSocketConfig other_sockets[] = {{(char *)"disk", CVD_SOCKET_PAIR}};
static char *regions[] = {(char *)"a", (char *)"b", NULL};
static CvdProgramConfig programs[] = {
    {.name = (char *)"other", .sockets = other_sockets, .n_sockets = 1},
    {.name = (char *)"device",
     .regions = regions,
     .sockets = sockets,
     .n_sockets = G_N_ELEMENTS(sockets)},
};
static CvdConfig config = {
    .name = (char *)"cvd-12",
    .directory = (char *)"/etc/${name}",
    .programs = programs,
    .n_programs = G_N_ELEMENTS(programs),
};

static void test_texts(void)
{
    static const struct {
        const char *text;
        const char *expanded;
    } rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"${name}", "cvd-12"},
        {"-n=${name},${name}", "-n=cvd-12,cvd-12"},
        {"${index}", "12"},
        {"${runtime}/x", "/run/test/cvd-12/x"},
        {"${client_socket}", "/run/test/cvd-12/client.sock"},
        {"$$", "$"},
        {"$${name}", "${name}"},
        {"$$$${name}", "$${name}"},
        {"$$${name}", "$cvd-12"},
        {"$HOME", "$HOME"},
        {"$", "$"},
        {"a$", "a$"},
        {"}{$}", "}{$}"},
        /* What was put in, and was in the directory's name by itself. */
        {"${config_dir}", "/etc/${name}"},
        {"${config_dir}${name}", "/etc/${name}cvd-12"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *expanded = cvd_substitute(&config, NULL, rows[i].text);
        g_assert_cmpstr(expanded, ==, rows[i].expanded);
    }
}

static void test_sockets(void)
{
    static const struct {
        const char *text;
        gboolean passes_fds;
        const char *to_program;
        const char *to_qemu;
    } rows[] = {
        {"fd=${socket:fs}", FALSE, "fd=3", "fd=8"},
        {"fd=${socket:fs}", TRUE, "fd=11", "fd=8"},
        {"${socket:net}", FALSE, "4", "10"},
        {"${socket:net}", TRUE, "12", "10"},
        {"${socket:tpm}", FALSE, "/run/test/cvd-12/device-tpm.sock", "9"},
        {"${socket:tpm}", TRUE, "/run/test/cvd-12/device-tpm.sock", "9"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        programs[1].pass_fds = rows[i].passes_fds;
        g_autofree char *to_program = cvd_substitute(&config, &programs[1], rows[i].text);
        g_autofree char *to_qemu = cvd_substitute(&config, NULL, rows[i].text);
        g_assert_cmpstr(to_program, ==, rows[i].to_program);
        g_assert_cmpstr(to_qemu, ==, rows[i].to_qemu);
    }
    programs[1].pass_fds = FALSE;
}

static void test_socket_names(void)
{
    g_autofree const char **all = cvd_config_get_socket_names(&config, NULL);
    g_autofree const char **own = cvd_config_get_socket_names(&config, &programs[0]);
    const CvdProgramConfig *program = NULL;
    guint index = 0;

    g_assert_cmpstrv(all, ((const char *const[]){"disk", "fs", "tpm", "net", NULL}));
    g_assert_cmpstrv(own, ((const char *const[]){"disk", NULL}));
    g_assert_cmpint(cvd_config_find_socket(&config, "net", &program, &index), ==, 3);
    g_assert_true(program == &programs[1]);
    g_assert_cmpuint(index, ==, 2);
    g_assert_cmpint(cvd_config_find_socket(&config, "device", NULL, NULL), ==, -1);
}

static void test_index(void)
{
    static const struct {
        const char *name;
        const char *index;
    } rows[] = {
        {"phone", "0"}, {"phone7", "7"}, {"a1b", "0"}, {"cvd-007", "007"}, {"42", "42"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        CvdConfig other = {.name = (char *)rows[i].name};
        g_autofree char *expanded = cvd_substitute(&other, NULL, "${index}");
        g_assert_cmpstr(expanded, ==, rows[i].index);
    }
}

static void test_given_client_socket(void)
{
    CvdConfig other = {.name = (char *)"a", .client_socket = (char *)"/srv/c.sock"};
    g_autofree char *expanded = cvd_substitute(&other, NULL, "${client_socket}");

    g_assert_cmpstr(expanded, ==, "/srv/c.sock");
}

/* ---- What is refused ---- */

#define KNOWN "known are ${name}, ${runtime}, ${client_socket}, ${config_dir}, ${index}, "

typedef struct {
    GPtrArray *problems;
    GHashTable *overrides;
    GStringChunk *paths;
    CvdReader reader;
    CvdPlace place;
} Reading;

static void set_up(Reading *reading, gconstpointer data)
{
    reading->problems = g_ptr_array_new_with_free_func(g_free);
    reading->overrides = g_hash_table_new(NULL, NULL);
    reading->paths = g_string_chunk_new(64);
    reading->reader = (CvdReader){.problems = reading->problems,
                                  .overrides = reading->overrides,
                                  .paths = reading->paths,
                                  .cwd = "/"};
    reading->place = (CvdPlace){&reading->reader, "f", "/pays/$${x", "argv[0]", 1};
}

static void tear_down(Reading *reading, gconstpointer data)
{
    g_ptr_array_unref(reading->problems);
    g_hash_table_unref(reading->overrides);
    g_string_chunk_free(reading->paths);
}

static void test_refused(Reading *reading, gconstpointer data)
{
    static const struct {
        const char *text;
        const char *const *sockets;
        const char *problem;
    } rows[] = {
        {"${nam}", NULL, "f: line 1: argv[0]: ${nam}: unknown; " KNOWN "and $$ for a dollar"},
        {"x${}y", NULL, "${}: unknown; known are ${name}"},
        {"${Name}", NULL, "${Name}: unknown"},
        {"${name }", NULL, "${name }: unknown"},
        {"${${name}}", NULL, "${${name}: no substitution can be inside another; " KNOWN},
        {"${$$}", NULL, "${$$}: no substitution can be inside another"},
        {"${name", NULL, "${name: \"${\" without \"}\"; write $$ for a dollar"},
        {"$$$ ${name} ${", NULL, "argv[0]: ${: \"${\" without"},
        {"${socket:fs}", NULL, "${socket:fs}: there is no socket here; " KNOWN "and $$"},
        {"${socket:fss}", own_sockets,
         "${socket:fss}: unknown; \"sockets\" of a program has to name it; " KNOWN
         "${socket:fs}, ${socket:net}, ${socket:tpm}, and $$ for a dollar"},
        {"${socket:}", own_sockets, "${socket:}: unknown"},
        {"${socket}", own_sockets, "${socket}: unknown"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_ptr_array_set_size(reading->problems, 0);
        g_assert_false(cvd_substitute_check(&reading->place, rows[i].text, rows[i].sockets));
        g_assert_cmpuint(reading->problems->len, ==, 1);
        if (!strstr(reading->problems->pdata[0], rows[i].problem))
            g_error("\"%s\" does not contain \"%s\"", (char *)reading->problems->pdata[0],
                    rows[i].problem);
    }
}

static void test_accepted(Reading *reading, gconstpointer data)
{
    static const char *const texts[] = {
        "", "$", "$$", "$x", "${name}", "${runtime}${index}", "$${nam}", "a ${socket:net}",
    };

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_assert_true(cvd_substitute_check(&reading->place, texts[i], own_sockets));
    g_assert_cmpuint(reading->problems->len, ==, 0);
}

/* All of them at once. */
static void test_several(Reading *reading, gconstpointer data)
{
    g_assert_false(cvd_substitute_check(&reading->place, "${a} ${name} ${b} ${c", NULL));
    g_assert_cmpuint(reading->problems->len, ==, 3);
}

static void test_paths(Reading *reading, gconstpointer data)
{
    static const struct {
        const char *path;
        const char *resolved;
        const char *expanded;
    } rows[] = {
        {"/bin/${name}", "/bin/${name}", "/bin/cvd-12"},
        {"./x", "/pays/$$$${x/x", "/pays/$${x/x"},
        {"${name}/x", "/pays/$$$${x/${name}/x", "/pays/$${x/cvd-12/x"},
        {"${config_dir}/x", "${config_dir}/x", "/etc/${name}/x"},
        {"${runtime}", "${runtime}", "/run/test/cvd-12"},
        {"$${runtime}", "/pays/$$$${x/$${runtime}", "/pays/$${x/${runtime}"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *resolved = cvd_substitute_resolve(&reading->place, rows[i].path);
        g_autofree char *again = cvd_substitute_resolve(&reading->place, resolved);
        g_autofree char *expanded = cvd_substitute(&config, NULL, resolved);
        g_assert_cmpstr(resolved, ==, rows[i].resolved);
        g_assert_cmpstr(again, ==, resolved);
        g_assert_cmpstr(expanded, ==, rows[i].expanded);
    }
}

static void add(const char *path, void (*test)(Reading *, gconstpointer))
{
    g_test_add(path, Reading, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_setenv("CVD_RUNTIME_DIR", "/run/test", TRUE);
    g_test_add_func("/substitute/texts", test_texts);
    g_test_add_func("/substitute/sockets", test_sockets);
    g_test_add_func("/substitute/socket-names", test_socket_names);
    g_test_add_func("/substitute/index", test_index);
    g_test_add_func("/substitute/given-client-socket", test_given_client_socket);
    add("/substitute/refused", test_refused);
    add("/substitute/accepted", test_accepted);
    add("/substitute/several-problems", test_several);
    add("/substitute/paths", test_paths);
    return g_test_run();
}
