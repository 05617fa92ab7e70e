# Source this: a throw-away QGIS profile under build/, with this checkout as its plugin `whetstone`.
# Nothing of the user's own QGIS is read or changed; the profile goes when the script ends.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "$ROOT/build"
QGIS_HOME=$(mktemp -d "$ROOT/build/qgis.XXXXXX")
trap 'rm -rf "$QGIS_HOME"' EXIT
mkdir -p "$QGIS_HOME"/{home,runtime,profile,plugins,config,cache,data,tmp}
chmod 700 "$QGIS_HOME/runtime"
ln -s "$ROOT" "$QGIS_HOME/plugins/whetstone"
export HOME=$QGIS_HOME/home
export XDG_RUNTIME_DIR=$QGIS_HOME/runtime XDG_CONFIG_HOME=$QGIS_HOME/config
export XDG_CACHE_HOME=$QGIS_HOME/cache XDG_DATA_HOME=$QGIS_HOME/data
export QGIS_CUSTOM_CONFIG_PATH=$QGIS_HOME/profile # of qgis_process: profile/profiles/default
export QGIS_PLUGINPATH=$QGIS_HOME/plugins
export GDAL_PAM_ENABLED=NO # stale statistics beside the files would fool comparisons
export PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1
unset PYTHONPATH PYTHONHOME

# Debian's qgis_process is a wrapper that fails on every call; the program itself is .bin.
QGIS_PROCESS=$(command -v qgis_process.bin || command -v qgis_process || true)
