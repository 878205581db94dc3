/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between `${` and `}` in the texts that host programs, hooks and QEMU get. A text is
 * taken apart in one way, once to be checked and once to be expanded. What is put in is never
 * looked at.
 */
#include "launcher/config/substitute.h"

#include "base/passed.h"
#include "launcher/instance-dir.h"

#include <string.h>

#define SOCKET "socket:"

/* ---- What can be put in ---- */

static char *expand_name(const CvdConfig *config)
{
    return g_strdup(config->name);
}

static char *expand_runtime(const CvdConfig *config)
{
    return cvd_instance_dir_path(config->name);
}

static char *expand_client_socket(const CvdConfig *config)
{
    g_autofree char *runtime = expand_runtime(config);

    return config->client_socket ? g_strdup(config->client_socket)
                                 : g_build_filename(runtime, "client.sock", NULL);
}

static char *expand_config_dir(const CvdConfig *config)
{
    return g_strdup(config->directory);
}

/* The digits at the end of the name. */
static char *expand_index(const CvdConfig *config)
{
    const char *end = config->name + strlen(config->name);
    const char *start = end;

    while (start > config->name && g_ascii_isdigit(start[-1]))
        start--;
    return g_strdup(start < end ? start : "0");
}

static const struct {
    const char *name;
    gboolean is_path; /* an absolute one */
    char *(*expand)(const CvdConfig *config);
} variables[] = {
    {"name", FALSE, expand_name},
    {"runtime", TRUE, expand_runtime},
    {"client_socket", TRUE, expand_client_socket},
    {"config_dir", TRUE, expand_config_dir},
    {"index", FALSE, expand_index},
};

/* −1: there is none. */
static int find_variable(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(variables); i++)
        if (strcmp(variables[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* ---- Sockets ---- */

int cvd_program_get_socket_fd(const CvdProgramConfig *program, guint index)
{
    int fd = CVD_CHILD_FIRST_FD;

    if (program->sockets[index].kind == CVD_SOCKET_PATH)
        return -1;
    if (program->pass_fds)
        fd += CVD_PASSED_N_FDS * (int)g_strv_length(program->regions);
    for (guint i = 0; i < index; i++)
        fd += program->sockets[i].kind != CVD_SOCKET_PATH;
    return fd;
}

static char *get_path(const CvdConfig *config, const CvdProgramConfig *program, const char *name)
{
    g_autofree char *runtime = expand_runtime(config);

    return g_strdup_printf("%s/%s-%s.sock", runtime, program->name, name);
}

char *cvd_program_get_socket_path(const CvdConfig *config, const CvdProgramConfig *program,
                                  guint index)
{
    return get_path(config, program, program->sockets[index].name);
}

char *cvd_program_get_notify_path(const CvdConfig *config, const CvdProgramConfig *program)
{
    return get_path(config, program, "notify");
}

int cvd_config_find_socket(const CvdConfig *config, const char *name,
                           const CvdProgramConfig **program, guint *index)
{
    int n = 0;

    for (guint i = 0; i < config->n_programs; i++) {
        for (guint j = 0; j < config->programs[i].n_sockets; j++, n++) {
            if (strcmp(config->programs[i].sockets[j].name, name) != 0)
                continue;
            if (program)
                *program = &config->programs[i];
            if (index)
                *index = j;
            return n;
        }
    }
    return -1;
}

const char **cvd_config_get_socket_names(const CvdConfig *config, const CvdProgramConfig *program)
{
    GPtrArray *names = g_ptr_array_new();

    for (guint i = 0; i < config->n_programs; i++)
        for (guint j = 0; j < config->programs[i].n_sockets; j++)
            if (!program || program == &config->programs[i])
                g_ptr_array_add(names, config->programs[i].sockets[j].name);
    g_ptr_array_add(names, NULL);
    return (const char **)g_ptr_array_free(names, FALSE);
}

/* @program's own; to QEMU, those of all are descriptors. NULL: there is none */
static char *expand_socket(const CvdConfig *config, const CvdProgramConfig *program,
                           const char *name)
{
    const CvdProgramConfig *owner = NULL;
    guint index = 0;
    int n = cvd_config_find_socket(config, name, &owner, &index);

    if (n < 0 || (program && program != owner))
        return NULL;
    if (!program)
        return g_strdup_printf("%d", CVD_QEMU_FIRST_SOCKET_FD + n);
    if (owner->sockets[index].kind == CVD_SOCKET_PATH)
        return cvd_program_get_socket_path(config, program, index);
    return g_strdup_printf("%d", cvd_program_get_socket_fd(program, index));
}

/* ---- Texts ---- */

typedef enum {
    PIECE_END,
    PIECE_LITERAL,
    PIECE_VARIABLE, /* what is between the braces */
    PIECE_OPEN,     /* from a brace on that is never closed */
} PieceKind;

typedef struct {
    PieceKind kind;
    const char *start;
    gsize length;
} Piece;

/* The first of @rest, which then begins behind it. */
static Piece take_piece(const char **rest)
{
    const char *start = *rest;
    gsize n_plain = strcspn(start, "$");
    const char *end = strchr(start, '}');

    if (n_plain > 0 || *start == '\0') {
        *rest += n_plain;
        return (Piece){n_plain > 0 ? PIECE_LITERAL : PIECE_END, start, n_plain};
    }
    if (start[1] != '{') {
        *rest += start[1] == '$' ? 2 : 1;
        return (Piece){PIECE_LITERAL, start, 1};
    }
    *rest = end ? end + 1 : start + strlen(start);
    return end ? (Piece){PIECE_VARIABLE, start + 2, (gsize)(end - start) - 2}
               : (Piece){PIECE_OPEN, start, strlen(start)};
}

static char *describe_known(const char *const *sockets)
{
    g_autoptr(GString) known = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(variables); i++)
        g_string_append_printf(known, "${%s}, ", variables[i].name);
    for (; sockets && *sockets; sockets++)
        g_string_append_printf(known, "${" SOCKET "%s}, ", *sockets);
    g_string_append(known, "and $$ for a dollar");
    return g_string_free(g_steal_pointer(&known), FALSE);
}

static gboolean is_known(const char *name, const char *const *sockets)
{
    if (!g_str_has_prefix(name, SOCKET))
        return find_variable(name) >= 0;
    return sockets && g_strv_contains(sockets, name + strlen(SOCKET));
}

/* @name: of a substitution */
static gboolean check_variable(const CvdPlace *place, const char *name, const char *const *sockets)
{
    g_autofree char *known = describe_known(sockets);
    g_autofree char *shown = cvd_shorten(name, CVD_PLACE_MAX_QUOTED);

    if (is_known(name, sockets))
        return TRUE;
    if (strchr(name, '$'))
        cvd_place_problem(place, "${%s}: no substitution can be inside another; known are %s",
                          shown, known);
    else if (g_str_has_prefix(name, SOCKET) && !sockets)
        cvd_place_problem(place, "${%s}: there is no socket here; known are %s", shown, known);
    else if (g_str_has_prefix(name, SOCKET))
        cvd_place_problem(place,
                          "${%s}: unknown; \"sockets\" of a program has to name it; known are %s",
                          shown, known);
    else
        cvd_place_problem(place, "${%s}: unknown; known are %s", shown, known);
    return FALSE;
}

gboolean cvd_substitute_check(const CvdPlace *place, const char *text, const char *const *sockets)
{
    gboolean is_good = TRUE;
    Piece piece = take_piece(&text);

    for (; piece.kind != PIECE_END; piece = take_piece(&text)) {
        g_autofree char *content = g_strndup(piece.start, piece.length);
        if (piece.kind == PIECE_VARIABLE) {
            is_good &= check_variable(place, content, sockets);
        } else if (piece.kind == PIECE_OPEN) {
            g_autofree char *shown = cvd_shorten(content, CVD_PLACE_MAX_QUOTED);
            cvd_place_problem(place, "%s: \"${\" without \"}\"; write $$ for a dollar", shown);
            is_good = FALSE;
        }
    }
    return is_good;
}

static char *expand_variable(const CvdConfig *config, const CvdProgramConfig *program,
                             const char *name)
{
    int variable = find_variable(name);

    if (variable >= 0)
        return variables[variable].expand(config);
    return g_str_has_prefix(name, SOCKET) ? expand_socket(config, program, name + strlen(SOCKET))
                                          : NULL;
}

char *cvd_substitute(const CvdConfig *config, const CvdProgramConfig *program, const char *text)
{
    g_autoptr(GString) expanded = g_string_new(NULL);
    Piece piece = take_piece(&text);

    for (; piece.kind != PIECE_END; piece = take_piece(&text)) {
        g_autofree char *content = g_strndup(piece.start, piece.length);
        g_autofree char *value =
            piece.kind == PIECE_VARIABLE ? expand_variable(config, program, content) : NULL;
        g_string_append(expanded, value ? value : content);
    }
    return g_string_free(g_steal_pointer(&expanded), FALSE);
}

char **cvd_substitute_get_sockets(const char *text)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    Piece piece = take_piece(&text);

    for (; piece.kind != PIECE_END; piece = take_piece(&text)) {
        g_autofree char *content = g_strndup(piece.start, piece.length);
        if (piece.kind == PIECE_VARIABLE && g_str_has_prefix(content, SOCKET))
            g_strv_builder_add(names, content + strlen(SOCKET));
    }
    return g_strv_builder_end(names);
}

char *cvd_substitute_escape(const char *text)
{
    g_autoptr(GString) escaped = g_string_new(text);

    g_string_replace(escaped, "$", "$$", 0);
    return g_string_free(g_steal_pointer(&escaped), FALSE);
}

static gboolean begins_with_path(const char *text)
{
    Piece piece = take_piece(&text);
    g_autofree char *name = g_strndup(piece.start, piece.length);
    int variable = piece.kind == PIECE_VARIABLE ? find_variable(name) : -1;

    return variable >= 0 && variables[variable].is_path;
}

char *cvd_substitute_resolve(const CvdPlace *place, const char *text)
{
    g_autofree char *directory = cvd_substitute_escape(place->directory);
    CvdPlace escaped = *place;

    if (begins_with_path(text))
        return g_strdup(text);
    escaped.directory = directory;
    return cvd_place_resolve(&escaped, text);
}
