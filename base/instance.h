/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * cvd_instance_get_places:
 *
 * Where the instances' runtime directories of this user are (cvd-launch(1), FILES). What a login
 * shell, a unit and cron set differs, so programs look in each place:
 * `$XDG_RUNTIME_DIR/cvd`, as root `/run/cvd`, `/run/user/UID/cvd`, `$TMPDIR/cvd-UID` and
 * `/tmp/cvd-UID`. An XDG_RUNTIME_DIR or /run/user/UID that another user owns is left out, as root's
 * own shell may have it from the user who became root; and so is a /run/user/UID that is not there.
 * If CVD_RUNTIME_DIR is set, that is the only place; if that is a link of this user's, what it
 * leads to.
 *
 * Returns: (transfer full) (array zero-terminated=1): the places, without repetition; the first is
 *   where a new instance goes
 */
char **cvd_instance_get_places(void);

/**
 * cvd_instance_base_path:
 *
 * Returns: (transfer full): the first of cvd_instance_get_places()
 */
char *cvd_instance_base_path(void);

/**
 * cvd_instance_check_base:
 * @error: %CVD_ERROR_INVALID, %CVD_ERROR_FOREIGN: CVD_RUNTIME_DIR is no absolute path, or names
 * what others may enter or have; the message says so
 *
 * Returns: whether instances may be put, and are to be believed, where the variable says; also if
 * it is not set, or what it names is not there yet
 */
gboolean cvd_instance_check_base(GError **error);

/**
 * cvd_instance_check_name:
 * @error: %CVD_ERROR_INVALID
 *
 * Returns: whether an instance may have that name
 */
gboolean cvd_instance_check_name(const char *name, GError **error);

/** cvd_instance_is_own_place: Returns: whether this user has what is at that path, not what a link
 * there leads to */
gboolean cvd_instance_is_own_place(const char *place);

/** CVD_INSTANCE_PROGRAMS: the directory in an instance's that has the logs of its host programs */
#define CVD_INSTANCE_PROGRAMS "programs"

/**
 * cvd_instance_parse_log:
 * @file: name of a file in that directory
 *
 * Returns: (transfer full) (nullable): the host program whose log it is, or what that was before it
 *   was full: `NAME.log`, `NAME.log.1`
 */
char *cvd_instance_parse_log(const char *file);

/**
 * cvd_instance_find_socket:
 * @name: (nullable): an instance's name; %NULL: the only one that runs
 * @file: the socket's name in the instance's directory, e.g. `vm.sock`
 * @error: %CVD_ERROR_INVALID: that can be no instance's name; %CVD_ERROR_CLOSED: it does not run,
 *   or none does; %CVD_ERROR_BUSY: several run, which the message names; %CVD_ERROR_FOREIGN: the
 *   directories are another user's, or a link, or the socket is; %CVD_ERROR_FAILED: they cannot be
 *   read
 *
 * An instance runs when its launcher listens on its control socket, as cvd_instance_connect() has
 * it. Root, whom each instance lets in, finds those of users (in /run/user/UID/cvd and
 * /tmp/cvd-UID) where it has none itself.
 *
 * Returns: (transfer full) (nullable): the socket's path
 */
char *cvd_instance_find_socket(const char *name, const char *file, GError **error);

/**
 * CvdInstances:
 * @CVD_INSTANCES_RUNNING: their launcher listens
 * @CVD_INSTANCES_FAILED: they do not run, and left the record of a failure, or were killed
 */
typedef enum {
    CVD_INSTANCES_RUNNING,
    CVD_INSTANCES_FAILED,
} CvdInstances;

/**
 * cvd_instance_list:
 * @error: as cvd_instance_find_socket(), if none is found
 *
 * Returns: (transfer full) (element-type utf8) (nullable): the instances' directories, in the order
 *   of their names, which are the last part, as cvd_group_name_compare() has it; to root also those
 *   of users
 */
GPtrArray *cvd_instance_list(CvdInstances which, GError **error);

/** cvd_instance_list_groups: Returns: (transfer full) (array zero-terminated=1): the groups that
 * those in both of these lists are of */
char **cvd_instance_list_groups(void);

/**
 * cvd_instance_get_dir:
 * @error: as cvd_instance_find_socket()
 *
 * Returns: (transfer full) (nullable): the directory of the instance of that name that runs, or has
 *   failed, or would run; another user's only if this one has none
 */
char *cvd_instance_get_dir(const char *name, GError **error);

/**
 * cvd_instance_connect:
 * @dir: as cvd_instance_get_dir()
 * @error: %CVD_ERROR_CLOSED: nobody listens there; %CVD_ERROR_BUSY: too many wait there;
 *   %CVD_ERROR_FOREIGN: the directory or the control socket is a link, or not of the user who has
 *   the place that it is in, or another user listens, which the message names
 *
 * Returns: (transfer full): a non-blocking socket that is connected to the instance's control
 *   socket, or −1
 */
int cvd_instance_connect(const char *dir, GError **error);

/**
 * cvd_instance_get_pid:
 * @dir: as cvd_instance_get_dir()
 *
 * Returns: the launcher that has it; 0: none; −1: one that no pid of ours stands for, as it is in
 *   another pid namespace, or one that is too busy to say
 */
pid_t cvd_instance_get_pid(const char *dir);
/** cvd_instance_is_running: @dir: as cvd_instance_get_dir() */
gboolean cvd_instance_is_running(const char *dir);
/** cvd_instance_is_held: @dir: as cvd_instance_get_dir(); Returns: whether a launcher has it, also
 * one that does not listen yet, or no more */
gboolean cvd_instance_is_held(const char *dir);
/** cvd_instance_has_crashed: @dir: as cvd_instance_get_dir(); Returns: whether its launcher was
 * killed, and nobody has removed yet what it left */
gboolean cvd_instance_has_crashed(const char *dir);

G_END_DECLS
