#!/bin/sh
# git: init, add, commit, branch, merge, gc, fsck, clone, with dates that do not change.
set -e
export GIT_AUTHOR_NAME=e2e GIT_AUTHOR_EMAIL=e2e@example.org GIT_COMMITTER_NAME=e2e
export GIT_COMMITTER_EMAIL=e2e@example.org GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git init -q -b main repo
cd repo
git config gc.auto 0
for i in 1 2 3 4 5 6; do
	seq "$i" $((i * 400)) >"file$i"
	mkdir -p "dir$i" && seq 1 "$i" >"dir$i/f"
	git add . && git commit -q -m "commit $i"
done
git checkout -q -b side HEAD~3
echo side >side && git add . && git commit -q -m side
git checkout -q main && git merge -q -m merge side
git log --format='%H %s'
git gc -q && git fsck
git clone -q --no-local . ../clone
git -C ../clone log --oneline | sha256sum
git diff HEAD~4 --stat
git blame file6 | tail -n 1
git cat-file --batch-check --batch-all-objects | sha256sum
git status --short
rm -rf .git ../clone # packs and times are not bytes that must repeat
