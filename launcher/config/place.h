/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/** CVD_PLACE_MAX_QUOTED: how many bytes of a value a problem repeats */
#define CVD_PLACE_MAX_QUOTED 40

/**
 * CvdReader:
 * @problems: (element-type utf8): where problems go, each a line
 * @overrides: (element-type JsonNode utf8): nodes that stand in the tree because of an option, and
 *   that option: `--set qemu.memory=4G`
 * @cwd: what relative paths in overridden values are relative to
 * @lines: (element-type JsonNode guint) (nullable): of the values in the files:
 * cvd_json_lines_new()
 * @paths: where the paths of places are kept
 * @broken: (element-type utf8) (nullable): where the paths of all values that had a problem are
 *   added, and of members that were probably misspelt
 *
 * What all files of one configuration share while they are read.
 */
typedef struct {
    GPtrArray *problems;
    GHashTable *overrides;
    const char *cwd;
    GHashTable *lines;
    GStringChunk *paths;
    GHashTable *broken;
} CvdReader;

/**
 * CvdPlace:
 * @origin: the file, or the option, that the value comes from
 * @directory: absolute; relative paths at this place are relative to it
 * @path: the JSON path there; empty for the root
 * @line: of the file, from 1 on: where the value begins, or what it is missing in; 0 in an option
 *
 * Where a value stands. Borrows everything.
 */
typedef struct {
    CvdReader *reader;
    const char *origin;
    const char *directory;
    const char *path;
    guint line;
} CvdPlace;

/**
 * cvd_place_describe: Returns: (transfer full): `FILE: line N: PATH`, `OPTION: PATH`, or the origin
 *   of a root
 */
char *cvd_place_describe(const CvdPlace *place);

/** cvd_place_problem: Appends the place and the text to the problems. */
void cvd_place_problem(const CvdPlace *place, const char *format, ...) G_GNUC_PRINTF(2, 3);

/**
 * cvd_place_found:
 * @node: what was found
 * @expected: what is allowed there
 *
 * Appends `PLACE: found …; expected …` to the problems.
 */
void cvd_place_found(const CvdPlace *place, JsonNode *node, const char *expected);

/**
 * cvd_place_no_such:
 * @lacks: what is not there, such as "there is no program"
 * @name: as it stands at @place
 * @known: (array zero-terminated=1): the names that there are
 *
 * Appends the problem, with the name that was probably meant.
 */
void cvd_place_no_such(const CvdPlace *place, const char *lacks, const char *name,
                       const char *const *known);

/**
 * cvd_place_member:
 * @key: of an object at @place
 * @node: (nullable): its value
 *
 * Returns: the member's place; an overridden one has the option as its origin
 */
CvdPlace cvd_place_member(const CvdPlace *place, const char *key, JsonNode *node);

/**
 * CvdElement:
 * @place: where it stands
 * @node: the element
 *
 * An element of a list. Zeroed before the first; the rest is cvd_place_next()'s.
 */
typedef struct {
    CvdPlace place;
    JsonNode *node;
    guint n_seen;
} CvdElement;

/**
 * cvd_place_next:
 * @node: what stands at @place
 * @element: (inout): the last one; becomes the next
 *
 * Returns: whether there is a next one; %FALSE at once where @node is no list
 */
gboolean cvd_place_next(const CvdPlace *place, JsonNode *node, CvdElement *element);

/**
 * cvd_place_find:
 * @node: what stands at @place
 * @path: from there, such as `regions[2].size`; nothing needs to stand at it
 *
 * Returns: the place at @path, with the same origin as if it had been read
 */
CvdPlace cvd_place_find(const CvdPlace *place, JsonNode *node, const char *path);

/** cvd_place_mark_broken: Marks the value at @place as one that had a problem. */
void cvd_place_mark_broken(const CvdPlace *place);
/** cvd_place_is_broken: Returns: whether it was marked so */
gboolean cvd_place_is_broken(const CvdPlace *place);

/** cvd_place_resolve: Returns: (transfer full): @path, made absolute as paths at @place are */
char *cvd_place_resolve(const CvdPlace *place, const char *path);

/**
 * CvdVisitor:
 * @place: where @node stands; its path is valid for this call
 * @key: (nullable): its name; %NULL in a list
 * @data: of cvd_place_walk()
 */
typedef void (*CvdVisitor)(const CvdPlace *place, const char *key, JsonNode *node, gpointer data);

/** cvd_place_walk: Visits what is in @node, which stands at @place, at any depth. */
void cvd_place_walk(const CvdPlace *place, JsonNode *node, CvdVisitor visit, gpointer data);

/** cvd_node_get_member: Returns: (nullable): the member, if @node: (nullable) is an object with it
 */
JsonNode *cvd_node_get_member(JsonNode *node, const char *name);

/** cvd_node_get_string: Returns: (nullable): the string, if @node: (nullable) holds one */
const char *cvd_node_get_string(JsonNode *node);

/** cvd_node_is_integer: Returns: whether @node holds an integer */
gboolean cvd_node_is_integer(JsonNode *node);

/** cvd_shorten: Returns: (transfer full): @text, cut after @max bytes if it has more */
char *cvd_shorten(const char *text, gsize max);

/** cvd_problem: Appends a line to @problems. */
void cvd_problem(GPtrArray *problems, const char *format, ...) G_GNUC_PRINTF(2, 3);

G_END_DECLS
