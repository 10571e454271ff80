# LVs of every kind that the machine can have, and in every state; the disks are $1 to ${11}. What waits
# is made as short as it can be: udevd is not waited for, and dmeventd not told. Behind these lines, each
# is run by itself.
quick='activation{udev_sync=0 udev_rules=0 monitoring=0}'
make() { lvcreate -q -y --config "$quick" "$@"; }
change() { lvchange -q -y --config "$quick" "$@"; }
convert() { lvconvert -q -y --config "$quick" "$@"; }
broken() { dmsetup table vgf-$1 | awk '{ print $1, $2, "error" }' | dmsetup load vgf-$1 && dmsetup suspend --noflush --nolockfs vgf-$1 && dmsetup resume vgf-$1; }
fill() { dd if=/dev/urandom of=/dev/vg/$1 bs=64k count=$2 oflag=direct status=none || [ $1 = bigthin ]; }

# Plain ones, mirrors and raid.
vgcreate -q -s 1M vg $1 $2 $3 $4 $5 $6 $7
make --type raid5 -i 2 -l 4 -n reshaped vg
until dmsetup status vg-reshaped | grep -q 'AAA [0-9/]* idle'; do sleep 1; done
convert --stripes 3 vg/reshaped
make -l 3 -n linear vg
make -l 4 -i 2 -n striped vg
make --type mirror -m 1 --mirrorlog disk -l 2 -n mirror vg
make --type raid0 -i 2 -l 2 -n raid0 vg
make --type raid1 -m 1 -l 2 -n raid1 vg
make --type raid5 -i 2 -l 2 -n raid5 vg

make --type raid4 -i 2 -l 2 -n raid4 vg
make --type raid6 -i 3 -l 3 -n raid6 vg
make --type raid0_meta -i 2 -l 2 -n raid0m vg
make --type raid1 -m 1 -l 8 -n checked vg
make --type raid10 -i 2 -m 1 -l 2 -n raid10 vg
make --type raid1 -m 1 -l 32 --maxrecoveryrate 1k -n syncing vg
make --type raid1 -m 1 -l 2 --raidintegrity y -n integ vg

# Snapshots: one that is used, one that is full, one that is merged and one that is to be.
make -l 2 -n origin vg
make -s -l 1 -n snap vg/origin
make -s -l 1 -c 4k -n full vg/origin
fill origin 20
make -l 2 -n merging vg
make -s -l 1 -n mergesnap vg/merging
fill merging 8
change -an vg/merging
convert --merge vg/mergesnap
change -ay --poll n vg/merging
make -l 2 -n later vg
make -s -l 1 -n latersnap vg/later
exec 3</dev/vg/later; convert --merge vg/latersnap

# Thin ones.
make -T -L 4M -V 8M -n thin1 vg/pool
fill thin1 33
make -s -n thinsnap vg/thin1
make -s -n thingone vg/thin1
lvremove -q -y --config "metadata{record_lvs_history=1} $quick" vg/thingone
make -T -L 4M vg/newpool
make -T -L 4M -V 8M -n bigthin --errorwhenfull y vg/fullpool
fill bigthin 90
make -l 2 -n ext vg
change -an vg/ext
change -pr vg/ext
make -s --thinpool vg/pool -n extthin vg/ext

# Caches.
make -l 4 -n cached vg
make --type cache-pool -l 8 -n cpool vg
convert --type cache --cachepool vg/cpool --cachemode writeback vg/cached
dd if=/dev/vg/cached of=/dev/null bs=64k iflag=direct status=none
make -l 4 -n cached2 vg
make -l 8 -n cvol vg
convert --type cache --cachevol vg/cvol vg/cached2
make --type cache-pool -l 8 -n unused vg
make -l 4 -n wcached vg
make -l 8 -n wvol vg
change -an vg/wcached vg/wvol
convert --type writecache --cachevol vg/wvol vg/wcached
change -ay vg/wcached
fill wcached 10

# States.
make -an -Zn -l 1 -n off vg
make -l 1 -pr -n ro vg
make -l 1 -n over vg
change -an vg/over
lvchange -ay --config 'activation{udev_sync=0 udev_rules=0 read_only_volume_list=["vg/over"]}' vg/over
make -l 1 -My --major 254 --minor 200 -n minor vg
make -l 1 -ky -an -Zn -n skip vg
make -l 1 -n susp vg
make -l 1 -n inact vg
make -l 1 -n held vg
dmsetup load vg-inact --table '0 2048 zero'
dmsetup suspend vg-susp
make -l 3 -n moving vg
pvmove -q -b -i 9999 -n moving --config "$quick" $(lvs --noheadings -o devices vg/moving | sed 's/(.*//')

# What has gone wrong: errors below them.
vgcreate -q -s 1M vgf ${10} ${11}
make -T -L 4M -V 8M -n thin vgf/tpool
make -L 4M -n lost vgf ${10}
make --type cache-pool -L 8M -n lostpool vgf ${11}
convert --type cache --cachepool vgf/lostpool --cachemode writethrough vgf/lost
make -L 4M -n base vgf
make -s -L 1M -n bad vgf/base
make --type raid1 -m 1 -l 2 -n bitten vgf
broken tpool_tmeta; dd if=/dev/urandom of=/dev/vgf/thin bs=64k count=30 oflag=direct status=none || true
broken lostpool_cpool_cmeta; dd if=/dev/urandom of=/dev/vgf/lost bs=64k count=30 oflag=direct status=none || true
broken bad-cow; dd if=/dev/urandom of=/dev/vgf/base bs=64k count=10 oflag=direct status=none || true
broken bitten_rimage_1; dd if=/dev/urandom of=/dev/vgf/bitten bs=64k count=10 oflag=direct status=none || true
lvchange -q --syncaction check vg/checked

# A VG that has lost a PV.
vgcreate -q -s 1M vgp $8 $9
make --type raid1 -m 1 -l 2 -n praid vgp
make -l 2 -n plin vgp $9
make --type mirror -m 1 --mirrorlog core -l 2 -n pmir vgp
sleep 1
echo 1 >/sys/block/${9#/dev/}/device/delete
dd if=/dev/zero of=/dev/vgp/praid bs=64k count=1 oflag=direct status=none
udevadm settle
